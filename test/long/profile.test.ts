/** What tools use is remembered by a real daemon and its successor; limits follow it; what is unusual is told. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { UsageProfile } from '../../lib/core/usage-profile.ts';
import { ProfileStore } from '../../lib/observe/profile-store.ts';
import { auditOf } from '../helpers/audit.ts';
import { newStateDir, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { filledProfile } from '../helpers/filled-profile.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { lacks } from '../helpers/skip.ts';
import { runStairs, usageOf } from '../helpers/stairs.ts';
import { waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux') || lacksFixture('stairs');
const MIB = 1024 ** 2;
const daemonSection = { sample_interval: '100ms' };
const [node, idle = ''] = fixtureCommand('idle');

// oxlint-disable-next-line typescript/no-explicit-any
type Document = any;

const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** What an earlier daemon has learnt. */
async function seed(stateDir: string, tool: string, profile: UsageProfile): Promise<void> {
  await new ProfileStore(join(stateDir, 'profiles'), SILENT).write(tool, profile.state());
}

async function recommended(daemon: RunningDaemon, tool: string, resource: string): Promise<Document> {
  const answer = await daemon.call('GET', `/v1/tools/${tool}/recommendation`);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.json.proposals.find((proposal: Document) => proposal.resource === resource);
}

async function limitOf(daemon: RunningDaemon, tool: string, resource: string): Promise<Document> {
  const { limits } = (await daemon.call('GET', `/v1/tools/${tool}`)).json;
  return limits.find((limit: Document) => limit.resource === resource);
}

/** Files are counted exactly everywhere: known amounts. */
t.test('what was used is known, and still after a restart of the daemon', { skip }, async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
  const run = runStairs(t, first, 'known', { flags: ['--file-handles', '500'] });
  await run.said('ready');
  const { usage: base } = await waitFor('a reading', async () => {
    const found = await usageOf(first, 'known', 'file_handles');
    return typeof found?.usage === 'number' ? found : null;
  });
  await run.hold('files', 120);
  const high = await waitFor('the peak', async () => {
    const proposal = await recommended(first, 'known', 'file_handles');
    if (proposal.highest === base + 120) return proposal;
    throw new Error(JSON.stringify(proposal));
  });
  t.match(high, { limit: 500, proposed: null, confidence: 'none', reason: /^observed for .*; 10m are needed$/ });
  await run.hold('files', 0);
  // The run lives on without a daemon.
  await first.stop('SIGTERM');
  t.equal(readdirSync(join(stateDir, 'profiles')).length, 1);
  const second = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
  const after = await recommended(second, 'known', 'file_handles');
  t.equal(after.highest, high.highest, 'seen by the daemon before');
  t.ok(after.samples >= high.samples);
  t.ok(after.observedMs >= high.observedMs);
  await waitFor('more of it', async () => (await recommended(second, 'known', 'file_handles')).samples > after.samples);
  t.equal((await second.cli(['stop', 'known'])).code, 0);
});

t.test('recommended: over REST and on the command line, and the YAML is valid', { skip }, async (t) => {
  const stateDir = newStateDir(t);
  await seed(stateDir, 'worker', filledProfile({ hours: 30, memory: 100 * MIB, tasks: 25, sockets: 4 }));
  const tools = { worker: { command: 'true', autostart: false, readiness: 'none' } };
  const daemon = await startDaemon(t, { stateDir, config: { daemon: daemonSection, tools } });
  t.match(await recommended(daemon, 'worker', 'memory'), { confidence: 'high', percentile: 0.99, ended: 0 });
  t.match(await recommended(daemon, 'worker', 'cpu'), { proposed: null, usage: null, reason: 'never measured' });
  const { code, stdout } = await daemon.cli(['recommend', 'worker']);
  t.equal(code, 0);
  const yaml = stdout.slice(stdout.indexOf('tools:'));
  t.match(yaml, /^ {6}memory: \{ limit: 1\d\dMiB, reason: "p99 of hourly peaks in 1d6h/m);
  const path = join(stateDir, 'pasted.yaml');
  writeFileSync(path, `version: 1\n${yaml}    command: "true"\n`);
  t.match(await daemon.cli(['config', 'check', path]), { code: 0 });
  const document = JSON.parse((await daemon.cli(['recommend', 'worker', '--json'])).stdout);
  t.equal(document.yaml, `${yaml.trimEnd()}\n`);
  t.match(JSON.parse((await daemon.cli(['recommend', '--json'])).stdout), { recommendations: [{ tool: 'worker' }] });
  t.equal((await daemon.call('GET', '/v1/tools/nobody/recommendation')).status, 404);
  t.equal((await daemon.call('GET', '/v1/tools/worker/recommendation?range=1h')).status, 400);
});

t.test('an adaptive limit follows what was learnt, on record, until somebody sets it', { skip }, async (t) => {
  const stateDir = newStateDir(t);
  await seed(stateDir, 'worker', filledProfile({ hours: 30, memory: 300 * MIB }));
  const memory = { limit: '128MiB', adaptive: { min: '64MiB', max: '1GiB' } };
  const worker = { command: node, args: [idle], readiness: 'none', limits: { memory } };
  const daemon = await startDaemon(t, { stateDir, config: { daemon: daemonSection, tools: { worker } } });
  const raised = await waitFor('the limit to follow', async () => {
    const limit = await limitOf(daemon, 'worker', 'memory');
    return limit.source.from === 'adaptive' ? limit : null;
  });
  t.ok(raised.limit >= 400 * MIB && raised.limit <= 425 * MIB, String(raised.limit));
  t.match(raised, { reason: /^p99 of hourly peaks/, adaptive: { min: 64 * MIB, max: 1024 * MIB } });
  t.match(raised.source.detail, /^within the bounds of limits\.yaml:\d+:\d+$/);
  const changes = await auditOf(daemon, 'worker', 'limits');
  t.match(changes.at(-1), { before: 128 * MIB, after: raised.limit, by: 'adaptive', reason: raised.reason });
  await waitFor('the run to have it', async () => {
    const [run] = (await daemon.call('GET', '/v1/tools/worker')).json.runs;
    return run?.limits.find((limit: Document) => limit.resource === 'memory').limit === raised.limit;
  });
  t.match((await daemon.cli(['ls', 'worker', '-v'])).stdout, /adaptive: within the bounds of limits\.yaml/);
  t.equal((await daemon.cli(['set', 'worker', 'memory=200MiB'])).code, 0);
  t.match(await limitOf(daemon, 'worker', 'memory'), {
    limit: 200 * MIB,
    source: { from: 'api' },
    adaptive: { stopped: /^set by hand \(.*\), until another limit is written where the tool is defined$/ },
  });
});

t.test('a run was stopped at its limit: the next one has more, and gets as far', { skip }, async (t) => {
  const grower = {
    command: 'true',
    autostart: false,
    readiness: 'none',
    limits: { file_handles: { limit: 60, adaptive: { min: 32, max: 4096 } } },
  };
  const daemon = await startDaemon(t, { config: { daemon: daemonSection, tools: { grower } } });
  const first = runStairs(t, daemon, 'grower');
  await first.said('ready');
  await waitFor('its profile', async () => (await recommended(daemon, 'grower', 'file_handles')).samples > 0);
  await first.hold('files', 70);
  await first.ended;
  const raised = await waitFor('the limit to follow', async () => {
    const limit = await limitOf(daemon, 'grower', 'file_handles');
    return limit.source.from === 'adaptive' ? limit : null;
  });
  // More than 70, 20 % of that, and the margin.
  t.ok(raised.limit >= 112 && raised.limit <= 160, String(raised.limit));
  t.match(raised.reason, /one run was ended for lack of it/);
  t.match((await auditOf(daemon, 'grower', 'limits')).at(-1), { before: 60, after: raised.limit, by: 'adaptive' });
  const second = runStairs(t, daemon, 'grower');
  await second.said('ready');
  await second.hold('files', 70);
  await waitFor('a reading of it', async () => (await usageOf(daemon, 'grower', 'file_handles'))?.usage > 70);
  const view = await usageOf(daemon, 'grower', 'file_handles');
  t.match(view, { limit: raised.limit, stage: 'normal' });
  t.equal((await daemon.cli(['stop', 'grower'])).code, 0);
});

t.test(
  'a burst is told where there is a history, and nothing is done; a cold tool says nothing',
  { skip },
  async (t) => {
    const stateDir = newStateDir(t);
    await seed(
      stateDir,
      'known',
      filledProfile({ hours: 3, sockets: 6, tasks: 3, memory: 10 * MIB, file_handles: 40 }),
    );
    const daemon = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
    // Nothing can be recommended for a tool that is not registered: what it was seeded with.
    const seeded = { known: 3 * 720 + 1, cold: 0 };
    const burst = async (name: 'known' | 'cold'): Promise<void> => {
      const run = runStairs(t, daemon, name, { flags: ['--sockets', '4000', '--file-handles', '4000'] });
      await run.said('ready');
      await waitFor('its profile', async () => (await recommended(daemon, name, 'sockets')).samples > seeded[name] + 1);
      await run.hold('sockets', 200);
      await waitFor('the burst to be seen', async () => (await recommended(daemon, name, 'sockets')).highest >= 200);
    };
    await burst('cold');
    await burst('known');
    const found = await waitFor('the finding', async () => {
      const entries = await auditOf(daemon, 'known', 'anomaly');
      return entries.some(({ resource }) => resource === 'sockets') ? entries : null;
    });
    t.match(
      found.filter(({ resource }) => resource === 'sockets'),
      [{ event: 'burst', factor: 3, detail: /^\d+ more sockets within seconds, and never more than \d in 3h of it/ }],
    );
    t.same(await auditOf(daemon, 'cold', 'anomaly'), []);
    t.same(await auditOf(daemon, 'known', 'action'), [], 'nothing was done');
    t.match(
      (await daemon.call('GET', '/metrics')).text,
      /^governor_anomalies_total\{tool="known",resource="sockets"\} 1$/m,
    );
    t.match((await daemon.cli(['events'])).stdout, /anomaly +known/);
    for (const name of ['known', 'cold']) t.equal((await daemon.cli(['stop', name])).code, 0);
  },
);

t.test('a damaged profile and one of a newer version: set aside, said, and begun anew', { skip }, async (t) => {
  const stateDir = newStateDir(t);
  await seed(stateDir, 'broken', filledProfile({ hours: 30, memory: 100 * MIB }));
  const [name = ''] = readdirSync(join(stateDir, 'profiles'));
  writeFileSync(join(stateDir, 'profiles', name), '{"format":1,"tool":"bro');
  const daemon = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
  const run = runStairs(t, daemon, 'broken');
  await run.said('ready');
  await waitFor('it to be learnt anew', async () => (await recommended(daemon, 'broken', 'memory')).samples > 0);
  const aside = readdirSync(join(stateDir, 'profiles')).find((file) => file.includes('set-aside'));
  t.ok(aside);
  t.ok(daemon.output().includes(String(aside)), 'the log names it');
  t.equal((await daemon.cli(['stop', 'broken'])).code, 0);
});

t.test('where profiles cannot be written everything else goes on', { skip }, async (t: Test) => {
  const stateDir = newStateDir(t);
  writeFileSync(join(stateDir, 'profiles'), 'no directory');
  const daemon = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
  const run = runStairs(t, daemon, 'tool', { flags: ['--file-handles', '60'] });
  await run.said('ready');
  await waitFor('what is in memory', async () => (await recommended(daemon, 'tool', 'memory')).samples > 0);
  await run.hold('files', 70);
  await run.ended;
  // Its client hears of the end before the daemon's view has it.
  const ended = await waitFor('the end', async () => {
    const [view] = (await daemon.call('GET', '/v1/tools/tool/runs')).json.runs;
    return view.end === null ? null : view;
  });
  t.match(ended, { end: { reason: 'limit', resource: 'file_handles' } });
  await daemon.stop('SIGTERM');
  t.equal(daemon.output().split('usage profiles cannot be written').length, 2, 'said once');
});

t.test(
  'a limit that was changed while it runs is what a daemon after a SIGKILL takes it up with',
  { skip },
  async (t) => {
    const stateDir = newStateDir(t);
    const first = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
    const run = runStairs(t, first, 'raised', { flags: ['--memory', '256MiB', '--file-handles', '200'] });
    await run.said('ready');
    const readyMs = performance.now();
    t.equal((await first.cli(['set', 'raised', 'memory=930MiB', 'file_handles=500'])).code, 0);
    // Over what it was launched with; below the hard limit of each process, which only CAP_SYS_RESOURCE may raise.
    await run.hold('files', 250);
    await first.stop('SIGKILL');
    const secondMs = performance.now();
    const second = await startDaemon(t, { stateDir, config: { daemon: daemonSection } });
    const [adopted] = (await second.call('GET', '/v1/tools/raised')).json.runs;
    const limit = (resource: string): unknown =>
      adopted?.limits.find((found: Document) => found.resource === resource)?.limit;
    t.equal(limit('memory'), 930 * MIB);
    t.equal(limit('file_handles'), 500);
    const runtime = await waitFor(
      'its runtime',
      async () => (await usageOf(second, 'raised', 'runtime'))?.usage ?? null,
    );
    t.ok(Number(runtime) >= secondMs - readyMs, 'it began before this daemon, by the clock that both have');
    await waitFor('a sample', async () => {
      const found = await usageOf(second, 'raised', 'file_handles');
      return typeof found?.usage === 'number' && found.usage > 250;
    });
    t.same(
      (await auditOf(second, 'raised', 'action')).filter(({ resource }) => resource === 'file_handles'),
      [],
    );
    t.match((await second.call('GET', '/v1/tools/raised')).json.runs, [{ state: 'running' }]);
    t.equal((await second.cli(['stop', 'raised'])).code, 0);
  },
);
