/** The third promise: how often Governor acts on a tool that is truly below its limits. */

import { auditOf } from '../../helpers/audit.ts';
import { type RunningDaemon, startDaemon } from '../../helpers/daemon.ts';
import { type GovernedRun, runStairs } from '../../helpers/stairs.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { pause, waitFor } from '../../helpers/wait-for.ts';
import { BENIGN, type Benign, CONTROLS, definitions } from '../support/benign-set.ts';
import { Oracle } from './ask.ts';
import { share, type Stand, type Stated } from './stated.ts';
import { copiesOfSmall, definitionsOf } from './small-benign.ts';
import type { Usage, Watched } from './watch.ts';

const MIB = 2 ** 20;
const SAMPLE_MS = 100;
const WARNING = 0.75;
/** Shares of the limit at which a stage begins. */
const LEVELS: Readonly<Record<string, number>> = { warning: WARNING, throttled: 0.9, cleanup: 1, emergency: 1.5 };
/** A stage is entered on several samples; so long before the record the truth may lie. */
const BEFORE_MS = 3_000;

/** What each control is about, as the daemon and the oracle call it, and its limit. */
const CONTROL_LIMITS: Readonly<Record<string, readonly [keyof Usage, number]>> = {
  memory: ['memory', 64 * MIB],
  files: ['file_handles', 100],
  sockets: ['sockets', 64],
  tasks: ['tasks', 40],
  temp: ['temp_storage', 8 * MIB],
};

interface Episode {
  readonly program: string;
  readonly highest: number | null;
  readonly falseOnes: readonly string[];
}

interface Tally {
  readonly episodes: Episode[];
  decisions: number;
  falseDecisions: number;
  unjudged: number;
  controls: number;
  missed: number;
  toolMs: number;
}

export async function falseViolations(stand: Stand): Promise<readonly Stated[]> {
  const { bench, containment, trials, short, table } = stand;
  const tally: Tally = {
    episodes: [],
    decisions: 0,
    falseDecisions: 0,
    unjudged: 0,
    controls: 0,
    missed: 0,
    toolMs: 0,
  };
  const oracle = new Oracle(bench);
  while (tally.episodes.length < trials) {
    const set = short ? copiesOfSmall(trials) : BENIGN;
    const config = {
      daemon: { sample_interval: `${SAMPLE_MS}ms` },
      tools: short ? definitionsOf(set) : definitions(),
    };
    const daemon = await startDaemon(bench, { backend: containment, config });
    await benign(stand, daemon, oracle, set, tally);
    for (const control of CONTROLS) await controlled(stand, daemon, oracle, control, tally);
    await daemon.stop();
    bench.say(`false violations, ${containment}: ${tally.episodes.length} of ${trials}`);
  }
  const names = [...new Set(tally.episodes.map(({ program }) => program))];
  table(
    names.map((name) => {
      const some = tally.episodes.filter((one) => one.program === name);
      return {
        containment,
        program: name,
        episodes: some.length,
        'highest true share': Math.max(...some.map(({ highest }) => highest ?? 0)),
        'false decisions': some.flatMap(({ falseOnes }) => falseOnes).join(', ') || 0,
      };
    }),
  );
  table([
    {
      containment,
      'benign tool-hours': tally.toolMs / 3_600_000,
      'false per 1000 tool-hours': (tally.episodes.flatMap(({ falseOnes }) => falseOnes).length / tally.toolMs) * 3.6e9,
      decisions: tally.decisions,
      'decisions without a look of the oracle': tally.unjudged,
      controls: tally.controls,
      'controls not stopped': tally.missed,
    },
  ]);
  // What was not below is no evidence for anything.
  const valid = tally.episodes.filter(({ highest }) => highest === null || highest < WARNING);
  if (valid.length < tally.episodes.length)
    bench.notMeasured(
      `false violations, ${containment}: ${tally.episodes.length - valid.length} episodes`,
      'the tool did not stay below the warning',
    );
  const where = { promise: 'false-violations', containment } as const;
  const wrong = valid.filter(({ falseOnes }) => falseOnes.length > 0).length;
  return [
    share({ ...where, what: 'benign episodes with a decision that was acted on' }, 'low', wrong, valid.length, [
      { is: 'below', value: 1, kind: 'promise' },
    ]),
    share(
      { ...where, what: 'decisions while the tool was truly below, of all decisions' },
      'low',
      tally.falseDecisions,
      Math.max(1, tally.decisions),
      short ? [] : [{ is: 'below', value: 1, kind: 'promise' }],
    ),
    share(
      { ...where, what: 'controls that truly exceed a limit and were stopped' },
      'high',
      tally.controls - tally.missed,
      tally.controls,
    ),
  ];
}

async function benign(
  { bench, short }: Stand,
  daemon: RunningDaemon,
  oracle: Oracle,
  set: readonly Benign[],
  tally: Tally,
): Promise<void> {
  const startedMs = performance.now();
  const runs: { readonly one: Benign; readonly run: GovernedRun }[] = [];
  for (const one of set) {
    runs.push({ one, run: runStairs(bench, daemon, one.name, { command: one.command(), lifeMs: 300_000 }) });
    // Hundreds of launchers at once would only wait for each other.
    if (runs.length % 20 === 0) await runs.at(-1)?.run.said('ready', 120_000);
  }
  await oracle.watch(
    runs.map(({ run }) => run.marker),
    short ? 1_000 : 200,
  );
  await Promise.all(runs.map(({ one, run }) => run.said(one.settled ?? 'ready', 120_000)));
  await pause(short ? 8_000 : 20_000);
  for (const { one, run } of runs) {
    const watched = await oracle.watched(run.marker);
    const highest = one.judged === null ? null : highestOf(watched, one.judged[0], 0, Infinity);
    const falseOnes = await actedOn(daemon, run, watched, one);
    tally.decisions += falseOnes.length;
    tally.falseDecisions += falseOnes.length;
    tally.episodes.push({
      program: one.name.replace(/ \d+$/, ''),
      highest: highest === null || one.judged === null ? null : highest / one.judged[1],
      falseOnes,
    });
  }
  tally.toolMs += (performance.now() - startedMs) * runs.length;
  await oracle.forget(runs.map(({ run }) => run.marker));
  // One request ends them all; whoever is left is ended one by one.
  await Promise.all(runs.map(({ run }) => daemon.call('POST', `/v1/tools/${encodeURIComponent(run.name)}/deactivate`)));
  for (const { run } of runs) if (run.child.exitCode === null) await killSurvivors(run.marker);
}

/** Every stage entered, action done and end of a tool that did not deserve one. */
async function actedOn(
  daemon: RunningDaemon,
  { name, child }: GovernedRun,
  watched: Watched,
  one: Benign,
): Promise<readonly string[]> {
  const found = (await auditOf(daemon, name)).flatMap((entry) => {
    if (entry.kind === 'stage') {
      const level = LEVELS[String(entry.to)];
      if (level === undefined) return [];
      // Of what the set does not judge, any decision is false: its shape is known by construction.
      if (one.judged === null || one.judged[0] !== entry.resource) return [`${entry.resource} ${entry.to}`];
      const highest = highestOf(
        watched,
        one.judged[0],
        Date.parse(entry.at) - BEFORE_MS,
        Date.parse(entry.at) + SAMPLE_MS,
      );
      return highest !== null && highest >= level * one.judged[1] ? [] : [`${entry.resource} ${entry.to}`];
    }
    if (entry.kind === 'action') return entry.outcome === 'done' ? [`${entry.resource} ${entry.action}`] : [];
    return entry.kind === 'intent' ? [`${entry.action} (${entry.reason})`] : [];
  });
  const status = child.exitCode ?? child.signalCode;
  return status === null ? found : [...found, `ended: ${status}`];
}

/** A tool that truly exceeds its limit: each stage on the way is a decision to be judged, and it must be stopped. */
async function controlled(
  { bench }: Stand,
  daemon: RunningDaemon,
  oracle: Oracle,
  [word, level, flags]: (typeof CONTROLS)[number],
  tally: Tally,
): Promise<void> {
  const run = runStairs(bench, daemon, `control ${word}`, { flags: ['--grace', '100ms', ...flags] });
  await run.said('ready');
  await oracle.watch([run.marker], 20);
  run.ask(word, level);
  const ended = await waitFor(`the end of ${run.name}`, () => run.child.exitCode ?? run.child.signalCode, {
    timeoutMs: 30_000,
  }).catch(() => null);
  const watched = await oracle.watched(run.marker);
  await oracle.forget([run.marker]);
  const judged = CONTROL_LIMITS[word];
  if (judged === undefined) throw new Error(`no limit is known of the control ${word}`);
  const [resource, limit] = judged;
  for (const entry of await auditOf(daemon, run.name, 'stage')) {
    const share = LEVELS[String(entry.to)];
    // A stage that is left downwards is no decision against the tool.
    if (share === undefined || share < (LEVELS[String(entry.from)] ?? 0)) continue;
    const atMs = Date.parse(entry.at);
    const highest = entry.resource === resource ? highestOf(watched, resource, atMs - BEFORE_MS, atMs + SAMPLE_MS) : 0;
    if (highest === null) tally.unjudged += 1;
    else {
      tally.decisions += 1;
      if (highest < share * limit) {
        tally.falseDecisions += 1;
        bench.say(`${run.name}: ${entry.resource} ${entry.to} at ${highest} of ${limit}`);
      }
    }
  }
  const cleanups = await auditOf(daemon, run.name, 'cleanup');
  tally.controls += 1;
  if (ended === null || cleanups.at(-1)?.reason !== 'limit') tally.missed += 1;
  await killSurvivors(run.marker);
}

function highestOf({ looks }: Watched, resource: keyof Usage, fromMs: number, toMs: number): number | null {
  const values = looks.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs).map(({ usage }) => usage[resource]);
  return values.length === 0 ? null : Math.max(...values);
}
