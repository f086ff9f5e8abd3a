/** Real programs under a real daemon, many at once, and what it says of each. */

import { startDaemon } from '../../helpers/daemon.ts';
import type { RunningDaemon } from '../../helpers/daemon.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { pause } from '../../helpers/wait-for.ts';
import { compared } from './evaluate.ts';
import type { Outcome } from './evaluate.ts';
import type { Sample } from './model.ts';
import { verdictOf } from './judged.ts';
import type { Verdict } from './judged.ts';
import { FAST_PACE } from './operating-point.ts';
import { REAL_TRIAL_MS } from './programs.ts';
import type { RealTrial } from './programs.ts';

export interface Watched extends Outcome {
  readonly trial: RealTrial;
  /** Resources that were suspected within the trial, in the order of suspicion. */
  readonly suspected: readonly string[];
  /** It did not live through its trial: it counts as neither. */
  readonly died: boolean;
  /** What held it: its readings are of that class. */
  readonly containment: string;
}

const LOOK_MS = 500;
const STARTS_AT_ONCE = 8;
const RESOURCES = ['memory', 'file_handles', 'sockets', 'temp_storage', 'tasks'] as const;

/** One daemon for these trials. Resolves when all of them are over and nothing of them is left. */
export async function watchPrograms(t: TestScope, trials: readonly RealTrial[]): Promise<readonly Watched[]> {
  const daemon = await startDaemon(t, { config: configFor(trials) });
  const startedMs = new Map<string, number>();
  const series = new Map<string, Map<string, Sample[]>>();
  let isOver = false;
  const looking = look(daemon, startedMs, series, () => isOver);
  for (let at = 0; at < trials.length; at += STARTS_AT_ONCE)
    await Promise.all(
      trials.slice(at, at + STARTS_AT_ONCE).map(async ({ name }) => {
        const { status, text } = await daemon.call('POST', `/v1/tools/${encodeURIComponent(name)}/activate`, {});
        if (status >= 300) throw new Error(`${name} did not start: ${text}`);
        startedMs.set(name, Date.now());
      }),
    );
  await pause(REAL_TRIAL_MS + 500);
  isOver = true;
  await looking;
  const said = await verdicts(daemon);
  const alive = await living(daemon);
  await daemon.stop();
  return trials.map((trial) => {
    const began = startedMs.get(trial.name) ?? 0;
    const within = (said.get(trial.name) ?? [])
      .map(({ resource, atMs }) => ({ resource, atMs: atMs - began }))
      .filter(({ atMs }) => atMs <= REAL_TRIAL_MS);
    const plain = series.get(trial.name) ?? new Map<string, Sample[]>();
    const others = (trial.leaks === null ? [...RESOURCES] : [trial.leaks]).map((resource) =>
      compared(plain.get(resource) ?? [], FAST_PACE),
    );
    return {
      trial,
      suspectedMs: verdictOf(trial.leaks, within)?.atMs ?? null,
      suspected: within.map(({ resource }) => resource),
      mannKendall: others.some(({ mannKendall }) => mannKendall),
      leastSquares: others.some(({ leastSquares }) => leastSquares),
      died: !alive.has(trial.name),
      containment: alive.get(trial.name) ?? 'unknown',
    };
  });
}

function configFor(trials: readonly RealTrial[]) {
  const { cadenceMs, warmUpMs, windowMs } = FAST_PACE;
  const tools = trials.map(({ name, command: [command = '', ...args] }) => [
    name,
    {
      command,
      args,
      readiness: 'none',
      autostart: false,
      env: { FIXTURE_LIFE_MS: String(REAL_TRIAL_MS * 2 + 120_000) },
      // Nothing else is to interfere.
      limits: {
        memory: 'none',
        cpu: 'none',
        file_handles: 'none',
        sockets: 'none',
        temp_storage: 'none',
        tasks: 'none',
      },
    },
  ]);
  return {
    daemon: {
      sample_interval: `${cadenceMs}ms`,
      leaks: { warm_up: `${warmUpMs}ms`, window: `${windowMs}ms` },
    },
    tools: Object.fromEntries(tools) as Record<string, Record<string, unknown>>,
  };
}

/** The daemon's own readings, for the tests that the detector is compared with. */
async function look(
  daemon: RunningDaemon,
  startedMs: ReadonlyMap<string, number>,
  series: Map<string, Map<string, Sample[]>>,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    const { json } = await daemon.call('GET', '/v1/usage');
    const { usage } = json as {
      readonly usage: readonly {
        readonly tool: string;
        readonly resources: readonly { readonly resource: string; readonly usage: number | null }[];
      }[];
    };
    for (const { tool, resources } of usage) {
      const began = startedMs.get(tool);
      if (began === undefined) continue;
      const ofTool = series.get(tool) ?? new Map<string, Sample[]>();
      series.set(tool, ofTool);
      for (const { resource, usage: value } of resources) {
        if (value === null) continue;
        const samples = ofTool.get(resource) ?? [];
        ofTool.set(resource, samples);
        samples.push({ atMs: Date.now() - began, value });
      }
    }
    await pause(LOOK_MS);
  }
}

/** In the order of time, which is that of the day here. */
async function verdicts(daemon: RunningDaemon): Promise<ReadonlyMap<string, readonly Verdict[]>> {
  const { json } = await daemon.call('GET', '/v1/audit?kind=leak&limit=1000');
  const { entries } = json as {
    readonly entries: readonly {
      readonly tool: string;
      readonly resource: string;
      readonly event: string;
      readonly at: string;
    }[];
  };
  const found = new Map<string, Verdict[]>();
  for (const { tool, resource, event, at } of entries)
    if (event === 'suspected') found.set(tool, [...(found.get(tool) ?? []), { resource, atMs: Date.parse(at) }]);
  return found;
}

/** Of those that live: what holds them. */
async function living(daemon: RunningDaemon): Promise<ReadonlyMap<string, string>> {
  const { json } = await daemon.call('GET', '/v1/tools');
  const { tools } = json as {
    readonly tools: readonly {
      readonly name: string;
      readonly runs: readonly { readonly backend: string }[];
      readonly lastEnd: unknown;
    }[];
  };
  return new Map(
    tools.flatMap(({ name, runs: [run], lastEnd }) =>
      run === undefined || lastEnd !== null ? [] : [[name, run.backend]],
    ),
  );
}
