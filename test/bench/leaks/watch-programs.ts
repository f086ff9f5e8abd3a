/** Real programs under a real daemon, many at once, and what it says of each. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDaemon } from '../../helpers/daemon.ts';
import type { RunningDaemon } from '../../helpers/daemon.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { pause } from '../../helpers/wait-for.ts';
import type { Account } from './account.ts';
import { outsideThePoint } from './account.ts';
import { entailedBy } from './entailed.ts';
import { compared } from './evaluate.ts';
import type { Outcome } from './evaluate.ts';
import { parents, programBelow, readKernel } from './kernel-reading.ts';
import type { Sample } from './model.ts';
import { verdictOf } from './judged.ts';
import type { Verdict } from './judged.ts';
import { FAST_PACE, REAL_WINDOWS } from './operating-point.ts';
import type { LeakResource, Pace } from './operating-point.ts';
import type { RealTrial } from './programs.ts';
import { SLOW_PACE, SLOW_WINDOWS } from './slow-programs.ts';

export interface Watched extends Outcome {
  readonly trial: RealTrial;
  /** Null where what it entails counts as wrong. */
  readonly strictMs: number | null;
  /** Resources that were suspected within the trial, in the order of suspicion. */
  readonly suspected: readonly string[];
  /** It did not live through its trial: it counts as neither. */
  readonly died: boolean;
  /** What held it: its readings are of that class. */
  readonly containment: string;
  /** Why its verdict says nothing: it was not what its family says. Programs of the fast pace tell no account: always empty. */
  readonly outside: readonly string[];
}

export interface Setting {
  readonly pace: Pace;
  /** A trial lasts the warm-up and so many. */
  readonly windows: number;
  /** Between two looks at usage, for the tests that the detector is compared with. */
  readonly lookMs: number;
  /** Its programs say what they hold. */
  readonly isAccounted: boolean;
}

export const FAST: Setting = { pace: FAST_PACE, windows: REAL_WINDOWS, lookMs: 500, isAccounted: false };
export const SLOW: Setting = { pace: SLOW_PACE, windows: SLOW_WINDOWS, lookMs: 2_000, isAccounted: true };

const STARTS_AT_ONCE = 8;
const ACCOUNTS_WITHIN_MS = 30_000;
const RESOURCES = ['memory', 'file_handles', 'sockets', 'temp_storage', 'tasks'] as const;

/** One daemon for these trials. Resolves when all of them are over and nothing of them is left. */
export async function watchPrograms(
  t: TestScope,
  trials: readonly (RealTrial & { readonly entails?: readonly LeakResource[] })[],
  setting: Setting = FAST,
): Promise<readonly Watched[]> {
  const { pace, windows, lookMs } = setting;
  const trialMs = pace.warmUpMs + windows * pace.windowMs;
  const accounts = mkdtempSync(join(tmpdir(), 'governor-accounts-'));
  t.teardown(() => rmSync(accounts, { recursive: true, force: true }));
  const accountOf = new Map(trials.map(({ name }, at) => [name, join(accounts, `${at}.json`)]));
  const daemon = await startDaemon(t, { config: configFor(trials, pace, trialMs, accountOf) });
  const startedMs = new Map<string, number>();
  const series = new Map<string, Map<string, Sample[]>>();
  let isOver = false;
  const looking = look(daemon, startedMs, series, lookMs, () => isOver);
  for (let at = 0; at < trials.length; at += STARTS_AT_ONCE)
    await Promise.all(
      trials.slice(at, at + STARTS_AT_ONCE).map(async ({ name }) => {
        const { status, text } = await daemon.call('POST', `/v1/tools/${encodeURIComponent(name)}/activate`, {});
        if (status >= 300) throw new Error(`${name} did not start: ${text}`);
        startedMs.set(name, Date.now());
      }),
    );
  await pause(trialMs + 500);
  isOver = true;
  await looking;
  const said = await verdicts(daemon, trials);
  const alive = await living(daemon);
  const outside = setting.isAccounted ? await checked(trials, alive, accountOf, pace) : new Map<string, string[]>();
  await daemon.stop();
  return trials.map((trial) => {
    const began = startedMs.get(trial.name) ?? 0;
    const within = (said.get(trial.name) ?? [])
      .map(({ resource, atMs }) => ({ resource, atMs: atMs - began }))
      .filter(({ atMs }) => atMs <= trialMs);
    const plain = series.get(trial.name) ?? new Map<string, Sample[]>();
    const others = (trial.leaks === null ? [...RESOURCES] : [trial.leaks]).map((resource) =>
      compared(plain.get(resource) ?? [], pace),
    );
    return {
      trial,
      suspectedMs: verdictOf(trial.leaks, trial.entails ?? entailedBy(trial.family), within)?.atMs ?? null,
      strictMs: verdictOf(trial.leaks, [], within)?.atMs ?? null,
      suspected: within.map(({ resource }) => resource),
      mannKendall: others.some(({ mannKendall }) => mannKendall),
      leastSquares: others.some(({ leastSquares }) => leastSquares),
      died: !alive.has(trial.name),
      containment: alive.get(trial.name)?.backend ?? 'unknown',
      outside: outside.get(trial.name) ?? [],
    };
  });
}

/** After the verdicts were read: each program collects and tells its account, and the kernel is asked. */
async function checked(
  trials: readonly RealTrial[],
  alive: ReadonlyMap<string, Living>,
  accountOf: ReadonlyMap<string, string>,
  pace: Pace,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const all = parents();
  const asked = trials.flatMap((trial) => {
    const run = alive.get(trial.name);
    const pid = run?.pid == null ? null : programBelow(run.pid, `--family=${trial.family}`, all);
    if (pid === null) return [];
    const kernel = readKernel(pid, all);
    process.kill(pid, 'SIGUSR2');
    return [{ trial, kernel, file: accountOf.get(trial.name) as string }];
  });
  const deadline = performance.now() + ACCOUNTS_WITHIN_MS;
  while (performance.now() < deadline && asked.some(({ file }) => read(file) === null)) await pause(200);
  return new Map([
    ...trials.map(({ name }): [string, readonly string[]] => [name, ['it was not found']]),
    ...asked.map(({ trial, kernel, file }): [string, readonly string[]] => [
      trial.name,
      outsideThePoint(trial, read(file), kernel, pace),
    ]),
  ]);
}

function read(file: string): Account | null {
  if (!existsSync(file)) return null;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Account;
  } catch {
    // Half written.
    return null;
  }
}

function configFor(
  trials: readonly RealTrial[],
  { cadenceMs, warmUpMs, windowMs }: Pace,
  trialMs: number,
  accountOf: ReadonlyMap<string, string>,
) {
  const tools = trials.map(({ name, command: [command = '', ...args] }) => [
    name,
    {
      command,
      args,
      readiness: 'none',
      autostart: false,
      env: { FIXTURE_LIFE_MS: String(trialMs * 2 + 120_000), LEAKS_ACCOUNT: accountOf.get(name) as string },
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
  lookMs: number,
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
    await pause(lookMs);
  }
}

/** In the order of time, which is that of the day here. */
async function verdicts(
  daemon: RunningDaemon,
  trials: readonly RealTrial[],
): Promise<ReadonlyMap<string, readonly Verdict[]>> {
  const found = new Map<string, readonly Verdict[]>();
  for (const { name } of trials) {
    const { json } = await daemon.call('GET', `/v1/audit?kind=leak&limit=1000&tool=${encodeURIComponent(name)}`);
    const { entries } = json as {
      readonly entries: readonly { readonly resource: string; readonly event: string; readonly at: string }[];
    };
    const suspected = entries.filter(({ event }) => event === 'suspected');
    found.set(
      name,
      suspected.map(({ resource, at }) => ({ resource, atMs: Date.parse(at) })).toSorted((a, b) => a.atMs - b.atMs),
    );
  }
  return found;
}

interface Living {
  readonly backend: string;
  readonly pid: number | null;
}

/** Of those that live: what holds them. */
async function living(daemon: RunningDaemon): Promise<ReadonlyMap<string, Living>> {
  const { json } = await daemon.call('GET', '/v1/tools');
  const { tools } = json as {
    readonly tools: readonly {
      readonly name: string;
      readonly runs: readonly Living[];
      readonly lastEnd: unknown;
    }[];
  };
  return new Map(
    tools.flatMap(({ name, runs: [run], lastEnd }) => (run === undefined || lastEnd !== null ? [] : [[name, run]])),
  );
}
