/** How often Governor acts on what is no violation. See README.md. */

import { auditOf } from '../helpers/audit.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { type GovernedRun, runStairs } from '../helpers/stairs.ts';
import { killSurvivors } from '../helpers/survivors.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';
import { type Bench, runBench } from './support/bench.ts';
import { BENIGN, CONTROLS, definitions, STALLED } from './support/benign-set.ts';
import { trueUsage } from './support/true-usage.ts';

const SAMPLE_MS = 100;
const LOOK_MS = 500;
/** Below this share of its limit no stage begins: whatever is decided on a tool that stays there is false. */
const WARNING = 0.75;

await runBench(
  'false-violations',
  `Programs that look bad and are not, each with a limit that a careless reading would see exceeded and true usage stays
  below ${WARNING * 100} % of: page cache, a big mapped file, memory shared by forks, a garbage collector's saw, a step of memory, a busy
  start, a fork storm, threads, sockets shared by forks, a sparse file with hard links; and usage that passes its limit
  only while the daemon is stopped (SIGSTOP). Sampled every ${SAMPLE_MS} ms, ten times as often as by default. True usage is
  taken by this process from /proc and TMPDIR every ${LOOK_MS} ms. False: any stage entered, any action done, any end of one of
  these tools. A decision counts from the warning on. In the same daemon, controls that truly exceed a limit, which must
  be stopped, or doing nothing would win. Aim: not one false decision.`,
  async (bench) => {
    const rounds = bench.rounds(3);
    const holdMs = bench.pick(20_000, 4_000);
    const stallMs = bench.pick(10_000, 3_000);
    bench.parameter('hold ms', holdMs);
    bench.parameter('stall ms', stallMs);
    const usable: string[] = [];
    for (const { id, usable: works, reason } of await linuxBackends()) {
      if (works) usable.push(id);
      else bench.notMeasured(`backend ${id}`, reason);
    }
    const rows: Record<string, unknown>[] = [];
    bench.table('by episode', rows);
    const total = { episodes: 0, toolMs: 0, falseOnes: 0, decisions: 0, missed: 0, controls: 0 };
    const unproven: string[] = [];
    for (const backend of usable) {
      for (let round = 0; round < rounds; round += 1) {
        const daemon = await startDaemon(bench, {
          backend,
          config: { daemon: { sample_interval: `${SAMPLE_MS}ms` }, tools: definitions() },
        });
        for (const seen of await benign(bench, daemon, holdMs, stallMs)) {
          total.episodes += 1;
          total.toolMs += seen.ms;
          total.falseOnes += seen.falseOnes.length;
          total.decisions += seen.falseOnes.length;
          if (seen.highest !== null && seen.highest >= WARNING) unproven.push(`${backend}, ${seen.name}`);
          for (const what of seen.falseOnes) bench.say(`${backend}, ${seen.name}: ${what}`);
          rows.push({
            backend,
            tool: seen.name,
            round: round + 1,
            'highest true share of the limit': seen.highest ?? 'by construction',
            'false decisions': seen.falseOnes.length === 0 ? 0 : seen.falseOnes.join(', '),
          });
        }
        const { decisions, missed, count } = await controls(bench, daemon);
        total.decisions += decisions;
        total.controls += count;
        total.missed += missed.length;
        for (const name of missed) bench.say(`${backend}: ${name} was not stopped`);
        await daemon.stop();
        bench.say(`${backend}, round ${round + 1} of ${rounds}`);
      }
    }
    const hours = total.toolMs / 3_600_000;
    bench.figure('false decisions', 'count', [total.falseOnes], { most: 0, of: 'max' });
    bench.figure('false decisions of all decisions', '%', [(total.falseOnes / Math.max(1, total.decisions)) * 100]);
    bench.figure('false decisions per 1000 tool-hours', 'count', [(total.falseOnes / hours) * 1000]);
    bench.figure('benign episodes', 'count', [total.episodes]);
    bench.figure('benign tool-hours', 'h', [hours]);
    bench.figure('decisions, controls included', 'count', [total.decisions]);
    bench.check('every benign tool truly stayed below the warning', unproven.length === 0, unproven.join('; '));
    bench.check(
      'every control was stopped',
      total.missed === 0,
      `${total.controls - total.missed} of ${total.controls}`,
    );
    bench.notMeasured(
      'a jump of the wall clock',
      'it would jump for the whole machine; the ladder reads only monotonic time',
    );
    bench.notMeasured('re-use of a pid', 'cannot be forced without filling the pid space of the whole machine');
  },
);

interface Episode {
  readonly name: string;
  readonly ms: number;
  readonly highest: number | null;
  readonly falseOnes: readonly string[];
}

async function benign(
  bench: Bench,
  daemon: RunningDaemon,
  holdMs: number,
  stallMs: number,
): Promise<readonly Episode[]> {
  const startedMs = performance.now();
  const runs = BENIGN.map((one) => ({
    one,
    run: runStairs(bench, daemon, one.name, { command: one.command(), lifeMs: 300_000 }),
    highest: 0,
  }));
  await Promise.all(runs.map(({ one, run }) => run.said(one.settled ?? 'ready', 120_000)));
  const stalled = runStairs(bench, daemon, STALLED, { lifeMs: 300_000 });
  await stalled.said('ready');
  const tempDirs = new Map<string, string>();
  for (const { one } of runs) tempDirs.set(one.name, await tempDirOf(daemon, one.name));
  const untilMs = performance.now() + holdMs;
  while (performance.now() < untilMs) {
    for (const entry of runs) {
      if (entry.one.judged === null) continue;
      const [resource, limit] = entry.one.judged;
      const usage = trueUsage(entry.run.marker, tempDirs.get(entry.one.name) ?? '')[resource];
      entry.highest = Math.max(entry.highest, usage / limit);
    }
    await pause(LOOK_MS);
  }
  await whileStopped(daemon, stalled, stallMs);
  const ms = performance.now() - startedMs;
  const episodes: Episode[] = [];
  for (const { one, run, highest } of runs)
    episodes.push({
      name: one.name,
      ms,
      highest: one.judged === null ? null : highest,
      falseOnes: await decisionsOn(daemon, run),
    });
  episodes.push({ name: STALLED, ms, highest: null, falseOnes: await decisionsOn(daemon, stalled) });
  for (const run of [...runs.map(({ run }) => run), stalled]) await killSurvivors(run.marker);
  return episodes;
}

/** Usage rises over the limit and falls again, and nobody was there to see it. */
async function whileStopped(daemon: RunningDaemon, run: GovernedRun, stallMs: number): Promise<void> {
  process.kill(daemon.pid, 'SIGSTOP');
  try {
    await run.hold('memory', 150);
    await pause(stallMs);
    await run.hold('memory', 2);
  } finally {
    process.kill(daemon.pid, 'SIGCONT');
  }
  // Long enough for every window to fill anew.
  await pause(2_000);
}

async function tempDirOf(daemon: RunningDaemon, name: string): Promise<string> {
  const { json } = await daemon.call('GET', `/v1/tools/${encodeURIComponent(name)}`);
  return (json as { readonly runs: readonly { readonly tempDir: string }[] }).runs[0]?.tempDir ?? '';
}

/** Everything that was decided on a tool. An action that was withdrawn after the re-read harmed nobody. */
async function decisionsOn(daemon: RunningDaemon, { name, child }: GovernedRun): Promise<readonly string[]> {
  const found = (await auditOf(daemon, name)).flatMap((entry) => {
    if (entry.kind === 'stage') return entry.to === 'normal' ? [] : [`${entry.resource} ${entry.from} → ${entry.to}`];
    if (entry.kind === 'action') return entry.outcome === 'done' ? [`${entry.resource} ${entry.action}`] : [];
    return entry.kind === 'intent' ? [`${entry.action} (${entry.reason})`] : [];
  });
  const status = child.exitCode ?? child.signalCode;
  return status === null ? found : [...found, `ended: ${status}`];
}

async function controls(
  bench: Bench,
  daemon: RunningDaemon,
): Promise<{ readonly decisions: number; readonly missed: readonly string[]; readonly count: number }> {
  const missed: string[] = [];
  let decisions = 0;
  for (const [word, level, flags] of CONTROLS) {
    const run = runStairs(bench, daemon, `control ${word}`, { flags: ['--grace', '100ms', ...flags] });
    await run.said('ready');
    run.ask(word, level);
    const ended = await waitFor(`the end of ${run.name}`, () => run.child.exitCode ?? run.child.signalCode, {
      timeoutMs: 30_000,
    }).catch(() => null);
    const cleanups = await auditOf(daemon, run.name, 'cleanup');
    if (ended === null || cleanups.at(-1)?.reason !== 'limit') missed.push(run.name);
    decisions += (await auditOf(daemon, run.name, 'stage')).filter(({ to }) => to !== 'normal').length;
    await killSurvivors(run.marker);
  }
  return { decisions, missed, count: CONTROLS.length };
}
