import { parse } from 'yaml';
import t from 'tap';
import { parseLimit } from '../../../config/limit-schema.ts';
import { loadConfig } from '../../../config/load.ts';
import { formatProblem } from '../../../lib/core/errors.ts';
import { DEFAULT_THRESHOLDS, stageOf } from '../../../lib/core/ladder.ts';
import { NO_LIMITS } from '../../../lib/core/limits.ts';
import type { ResolvedLimits } from '../../../lib/core/limits.ts';
import { caution, PERCENTILE, propose, recommend, toYaml, writeAmount } from '../../../lib/core/recommend.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import { restoreProfile } from '../../../lib/core/profile-state.ts';
import { UsageProfile } from '../../../lib/core/usage-profile.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { feed, filledProfile } from '../../helpers/filled-profile.ts';

const MIB = 1024 ** 2;
const EVERYTHING = {
  memory: 100 * MIB,
  cpu: 30,
  file_handles: 60,
  sockets: 20,
  temp_storage: 30 * MIB,
  inodes: 900,
  tasks: 25,
};

t.test('what it has used stays below the warning of what is proposed', (t) => {
  const profile = filledProfile({ hours: 30, ...EVERYTHING });
  for (const proposal of recommend(profile, NO_LIMITS, false)) {
    const { resource } = proposal;
    if (resource === 'runtime') continue;
    const used = EVERYTHING[resource];
    const proposed = proposal.proposed ?? NaN;
    t.equal(stageOf(used / proposed, DEFAULT_THRESHOLDS), 'normal', resource);
    // A bucket, the margin, and the rounding to whole steps.
    t.ok(proposed <= used * 1.05 * (4 / 3) * 1.15 + 5, `${resource}: ${proposed} for ${used}`);
    const shown = [proposal.usage, proposal.highest].every(Number.isInteger);
    t.ok(resource === 'cpu' || shown, `${resource}: no fraction of it: ${proposal.usage}, ${proposal.highest}`);
    t.match(proposal, { confidence: 'high', percentile: PERCENTILE[resource], ended: 0 });
    t.match(proposal.reason, /^p9[59] of (hourly peaks|the time) in 1d6h is .*, \+ 33\.3%/);
  }
  t.end();
});

t.test('a margin for the warning stage that the tool has; at least 15 %', (t) => {
  const profile = filledProfile({ hours: 30, memory: 100 * MIB });
  const { memory } = limited({ memory: 500 * MIB });
  const marginFor = (warning: number): number =>
    propose('memory', profile, memory && { ...memory, thresholds: { ...DEFAULT_THRESHOLDS, warning } }, false).margin;
  t.equal(marginFor(0.5), 1);
  t.equal(marginFor(0.8), 0.25);
  t.equal(marginFor(0.95), 0.15);
  t.end();
});

t.test('too little to go by is said, and nothing is proposed', (t) => {
  const never = recommend(new UsageProfile(), NO_LIMITS, true);
  t.same(
    never.map(({ proposed, confidence }) => [proposed, confidence]),
    RESOURCES.map(() => [null, 'none']),
  );
  const short = filledProfile({ hours: 0.1, memory: MIB });
  t.match(propose('memory', short, null, false), { proposed: null, reason: 'observed for 6m; 10m are needed' });
  const long = filledProfile({ hours: 3, memory: MIB });
  t.match(propose('sockets', long, null, false), {
    proposed: null,
    usage: null,
    reason: 'not measured here: no sockets here',
  });
  t.match(propose('runtime', long, null, true), { proposed: null, reason: 'no call was open when it was looked at' });
  t.match(propose('runtime', long, null, false), { reason: '0 whole runs ended by themselves; 5 are needed' });
  t.equal(toYaml('tool', never, NO_LIMITS), null);
  // Unless a run was ended for lack of it.
  short.noteOomKill(50 * MIB, undefined);
  const bumped = propose('memory', short, null, false);
  t.match(bumped, { confidence: 'low', ended: 1, reason: /one run was ended for lack of it/ });
  // 50 MiB and at least 16 more, and the margin.
  t.ok((bumped.proposed ?? 0) >= 88 * MIB);
  t.end();
});

t.test('confidence grows with what was observed', (t) => {
  const at = (hours: number): string =>
    propose('memory', filledProfile({ hours, memory: MIB }), null, false).confidence;
  t.same([0.2, 1.9, 2.1, 23, 24.1].map(at), ['low', 'low', 'medium', 'medium', 'high']);
  t.equal(caution(86_400_000), 2);
  t.equal(Math.round(caution(7 * 86_400_000) * 100), 114);
  t.equal(caution(0), Infinity);
  t.end();
});

t.test('runtime: of calls, and of whole runs that ended by themselves', (t) => {
  const ofCalls = new UsageProfile();
  feed(ofCalls, (index) => ({ runtime: index % 3 === 0 ? 20_000 : 0 }), { hours: 3, ofCalls: true });
  const calls = propose('runtime', ofCalls, null, true);
  t.ok((calls.proposed ?? 0) >= 26_000 && (calls.proposed ?? 0) <= 29_000, String(calls.proposed));
  t.match(calls.reason, /^p99 of hourly peaks/);
  const whole = filledProfile({ hours: 1, memory: MIB });
  for (let run = 0; run < 5; run++) whole.noteRuntime(60_000);
  t.match(propose('runtime', whole, null, false), { samples: 5, reason: /^p99 of whole runs/ });
  t.end();
});

t.test('a tool that is held back at its CPU limit may want more', (t) => {
  const profile = filledProfile({ hours: 3, cpu: 49 });
  const { cpu } = limited({ cpu: 50 });
  t.match(propose('cpu', profile, cpu, false).reason, /held back at its limit/);
  t.notMatch(propose('cpu', profile, null, false).reason, /held back/);
  t.end();
});

t.test('amounts as limits.yaml takes them, exactly', (t) => {
  for (const [resource, value] of [
    ['memory', 384 * MIB],
    ['memory', 2048 * MIB],
    ['memory', 1100 * MIB],
    ['memory', 1_234_567],
    ['cpu', 35],
    ['cpu', 12.5],
    ['file_handles', 81],
    ['sockets', 16],
    ['runtime', 27_000],
    ['runtime', 1_500],
    ['temp_storage', 40 * MIB],
    ['tasks', 34],
  ] as const) {
    const text = writeAmount(resource, value);
    t.same(parseLimit(resource, parse(text)), { ok: true, value }, text);
  }
  t.end();
});

t.test('the YAML can be pasted, whatever the tool is called and has', (t) => {
  const profile = filledProfile({ hours: 30, ...EVERYTHING });
  for (const name of ['everything', 'no', '12', 'a b: "c"', '@naïve (x)', "it's"]) {
    const limits: ResolvedLimits = {
      ...NO_LIMITS,
      memory: limited({ memory: 4096 * MIB }, { adaptive: { min: 200 * MIB, max: 8192 * MIB } }).memory,
      temp_storage: limited({ temp_storage: 5 }, { backing: 'tmpfs' }).temp_storage,
    };
    const proposals = recommend(profile, limits, false);
    const yaml = toYaml(name, proposals, limits) ?? '';
    t.match(yaml, /^ {6}# runtime: 0 whole runs/m);
    const text = `version: 1\n${yaml}    command: "true"\n`;
    const host = { memoryBytes: 24 * 1024 ** 3, cores: 2 };
    const loaded = loadConfig({ path: '/etc/governor/limits.yaml', text, host, env: {} });
    t.strictSame(loaded.ok ? [] : loaded.error.map(formatProblem), [], text);
    if (!loaded.ok) continue;
    const tool = loaded.value.tools[0];
    t.equal(tool?.name, name);
    for (const { resource, proposed, inodes } of proposals) {
      if (proposed === null) continue;
      t.equal(tool?.limits[resource]?.limit, proposed, resource);
      if (inodes !== undefined) t.equal(tool?.limits[resource]?.inodes, inodes);
    }
    t.match(tool?.limits.temp_storage, { backing: 'tmpfs' });
    t.equal(tool?.limits.memory?.adaptive?.max, 8192 * MIB);
  }
  t.end();
});

t.test('a profile that was read again says the same', (t) => {
  const profile = filledProfile({ hours: 30, ...EVERYTHING });
  const again = restoreProfile(JSON.parse(JSON.stringify(profile.state()))) ?? new UsageProfile();
  t.same(
    recommend(again, NO_LIMITS, true).map(({ proposed }) => proposed),
    recommend(profile, NO_LIMITS, true).map(({ proposed }) => proposed),
  );
  t.end();
});

t.test('a day in which it was seen once says little', (t) => {
  const profile = filledProfile({ hours: 30, memory: 100 * MIB });
  for (let run = 0; run < 5; run++) profile.noteRuntime(60_000);
  const [memory, runtime] = (['memory', 'runtime'] as const).map((name) => propose(name, profile, null, false));
  t.match(memory, { confidence: 'high' });
  t.match(runtime, { samples: 5, confidence: 'low' });
  t.end();
});

t.test('the YAML never allows more than somebody did, and keeps inodes that were not measured', (t) => {
  const profile = filledProfile({ hours: 30, memory: 900 * MIB, temp_storage: 100 * MIB });
  const limits: ResolvedLimits = {
    ...NO_LIMITS,
    memory: limited({ memory: 400 * MIB }, { adaptive: { min: 200 * MIB, max: 512 * MIB } }).memory,
    temp_storage: limited({ temp_storage: 1024 * MIB }, { inodes: 102_400 }).temp_storage,
  };
  const yaml = toYaml('tool', recommend(profile, limits, false), limits) ?? '';
  t.match(
    yaml,
    /^ {6}memory: \{ limit: 512MiB, adaptive: \{ min: 200MiB, max: 512MiB \}, reason: ".*held at its most" \}$/m,
  );
  t.match(yaml, /^ {6}temp_storage: \{ limit: 1\d\dMiB, inodes: 1\d{4}, /m);
  t.end();
});

t.test('the YAML of a tool that the file does not have can be pasted as it is', (t) => {
  const profile = filledProfile({ hours: 30, memory: 100 * MIB });
  const yaml = toYaml('tool', recommend(profile, NO_LIMITS, false), NO_LIMITS, ['node', 'a b.js', '--x']) ?? '';
  const host = { memoryBytes: 24 * 1024 ** 3, cores: 2 };
  const text = `version: 1\n${yaml}`;
  const loaded = loadConfig({ path: '/etc/governor/limits.yaml', text, host, env: {} });
  t.match(loaded, { ok: true, value: { tools: [{ command: 'node', args: ['a b.js', '--x'] }] } });
  t.end();
});
