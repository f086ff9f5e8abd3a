/** One tool that fails, from its definition to what became of it. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningDaemon } from '../../helpers/daemon.ts';
import { newMarker } from '../../helpers/fixture.ts';
import { define, type Registered } from '../../helpers/registered.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { pause } from '../../helpers/wait-for.ts';
import type { Oracle } from './ask.ts';
import { canary } from './canary.ts';
import type { Episode, Strategy } from './recovery-faults.ts';
import type { Stand } from './stated.ts';

const WITHIN_MS = 60_000;
export const ASK_MS = 500;
const WATCH_MS = 200;
const MEMORY_LIMIT = 192 * 2 ** 20;
/** Failures that are forgiven: a permanent fault may start a tool once more than that. */
const BUDGET = 2;

export interface Recovered {
  readonly fault: string;
  readonly strategy: Strategy;
  readonly ok: boolean;
  readonly why: string;
  /** From the fault to the first answer. */
  readonly afterMs: number | null;
}

let serial = 0;

async function started(
  { bench }: Stand,
  daemon: RunningDaemon,
  [{ fixture, args }, strategy]: Episode,
): Promise<{ readonly tool: Registered; readonly file: string }> {
  serial += 1;
  const file = join(daemon.stateDir, `starts-${serial}`);
  const tool = await registered(bench, daemon, `recovery-${serial}`, fixture, {
    args: fixture === 'fails-then-works' ? [`--file=${file}`, ...args] : args,
    sharing: 'shared',
    // A call of what hangs ends after that time, and its process is asked whether it still answers.
    limits: { memory: '192MiB', runtime: '5s' },
    health_check: '1s',
    recovery: {
      strategy,
      budget: `${BUDGET}/10m`,
      stable_for: '2s',
      ...(strategy === 'degrade' ? { degraded: { calls_at_once: 1 } } : {}),
    },
  });
  return { tool, file };
}

/** Its processes would live for ten minutes: what ends before was ended. */
export async function registered(
  bench: Stand['bench'],
  daemon: RunningDaemon,
  name: string,
  fixture: string,
  { args, ...more }: { readonly args: readonly string[] } & Readonly<Record<string, unknown>>,
): Promise<Registered> {
  const marker = newMarker();
  bench.teardown(() => killSurvivors(marker));
  const env = { FIXTURE_MARKER: marker, FIXTURE_LIFE_MS: '600000' };
  const answer = await define(daemon, name, fixture, args, marker, { ...more, env });
  if (answer.status !== 201) throw new Error(answer.text);
  return { name, path: `/v1/tools/${encodeURIComponent(name)}`, marker };
}

export async function recovers(
  stand: Stand,
  daemon: RunningDaemon,
  oracle: Oracle,
  episode: Episode,
  stableMs: number,
): Promise<Recovered> {
  const [fault, strategy] = episode;
  const { tool } = await started(stand, daemon, episode);
  const outcome = (why: string, afterMs: number | null = null): Recovered => ({
    fault: fault.name,
    strategy,
    ok: why === '',
    why,
    afterMs,
  });
  await oracle.watch([tool.marker], WATCH_MS);
  try {
    const startedMs = Date.now();
    const first = daemon.call('POST', `${tool.path}/activate`);
    if (fault.inject !== null) {
      const { status, text } = await first;
      if (status !== 200) return outcome(`it did not start: ${text}`);
      await pause(WATCH_MS * 2);
    } else await waitForDeath(oracle, tool);
    const { lives: seen, atMs: seenMs } = await oracle.watched(tool.marker);
    // Where the fault came by itself, who lives now may have been started since.
    const before = fault.inject === null ? seen.filter(({ lastMs }) => lastMs < seenMs - WATCH_MS) : seen;
    const faultMs = fault.inject === null ? Math.max(startedMs, ...before.map(({ lastMs }) => lastMs)) : Date.now();
    if (fault.inject !== null) void fault.inject(daemon, tool).catch(() => undefined);
    await first;
    // The fault is in effect when the process that it hit is gone; an answer before that is the old one's.
    const answered = await answers(daemon, oracle, tool, before.map(idOf));
    if (answered === null) return outcome('no answer within a minute');
    const afterMs = answered.atMs - faultMs;
    await pause(stableMs);
    const { lives, looks, atMs } = await oracle.watched(tool.marker);
    const alive = lives.filter(({ lastMs }) => lastMs >= atMs - WATCH_MS * 10);
    const old = new Set(before.map(idOf));
    if (alive.some((one) => old.has(idOf(one)))) return outcome('something of the failed run lives', afterMs);
    if (!alive.some((one) => answered.by.has(idOf(one)))) return outcome('it did not stay', afterMs);
    const since = looks.filter((look) => look.atMs >= answered.atMs);
    if (since.some(({ usage }) => usage.memory >= MEMORY_LIMIT)) return outcome('it is above its limit', afterMs);
    if (!(await answersOnce(daemon, tool))) return outcome('it does not answer at the end', afterMs);
    return outcome('', afterMs);
  } finally {
    await oracle.forget([tool.marker]);
    await daemon.call('DELETE', tool.path);
  }
}

function idOf({ pid, startTicks }: { readonly pid: number; readonly startTicks: number }): string {
  return `${pid} ${startTicks}`;
}

/** Asks until somebody answers who was not there before. @returns null when a minute has passed */
async function answers(
  daemon: RunningDaemon,
  oracle: Oracle,
  tool: Registered,
  before: readonly string[],
): Promise<{ readonly atMs: number; readonly by: ReadonlySet<string> } | null> {
  const old = new Set(before);
  const untilMs = Date.now() + WITHIN_MS;
  while (Date.now() < untilMs) {
    const ok = await answersOnce(daemon, tool);
    const atMs = Date.now();
    await pause(WATCH_MS * 2);
    const { lives, atMs: lookedMs } = await oracle.watched(tool.marker);
    const alive = lives.filter(({ lastMs }) => lastMs >= lookedMs - WATCH_MS * 2);
    // Who answered may have been born after the look before.
    const by = new Set(alive.map(idOf));
    if (ok && by.size > 0 && ![...by].some((id) => old.has(id))) return { atMs, by };
    await pause(ASK_MS);
  }
  return null;
}

export async function answersOnce(daemon: RunningDaemon, tool: Registered): Promise<boolean> {
  const word = `canary ${Math.random()}`;
  return (await canary(daemon, tool.name, 'echo', { message: word })) === word;
}

async function waitForDeath(oracle: Oracle, { marker }: Registered): Promise<void> {
  const untilMs = Date.now() + 20_000;
  while (Date.now() < untilMs) {
    const { lives, atMs } = await oracle.watched(marker);
    // A process that ends at once may fall between two looks.
    if (lives.some(({ lastMs }) => lastMs < atMs - WATCH_MS)) return;
    if (lives.length === 0 && Date.now() > untilMs - 17_000) return;
    await pause(50);
  }
}

export async function givesUp(
  stand: Stand,
  daemon: RunningDaemon,
  oracle: Oracle,
  episode: Episode,
): Promise<Recovered> {
  const [fault, strategy] = episode;
  const { tool, file } = await started(stand, daemon, episode);
  await oracle.watch([tool.marker], WATCH_MS);
  const startedMs = Date.now();
  await daemon.call('POST', `${tool.path}/activate`);
  let failed = false;
  while (!failed && Date.now() - startedMs < WITHIN_MS) {
    // Somebody wants it all the time.
    await answersOnce(daemon, tool);
    await pause(ASK_MS);
    failed = ((await daemon.call('GET', tool.path)).json as { readonly state: string }).state === 'failed';
  }
  const starts = startsOf(file);
  for (let asked = 0; asked < 10; asked += 1) {
    await answersOnce(daemon, tool);
    await pause(ASK_MS);
  }
  const { lives, atMs } = await oracle.watched(tool.marker);
  const alive = lives.filter(({ lastMs }) => lastMs >= atMs - WATCH_MS);
  const why = [
    failed ? '' : 'not reported as failed',
    starts <= BUDGET + 1 ? '' : `${starts} starts`,
    startsOf(file) === starts ? '' : 'started again after it was given up',
    alive.length === 0 ? '' : `${alive.length} processes live`,
  ]
    .filter(Boolean)
    .join(', ');
  await oracle.forget([tool.marker]);
  await daemon.call('DELETE', tool.path);
  return { fault: `permanent: ${fault.name}`, strategy, ok: why === '', why, afterMs: null };
}

/** The program itself counts them. */
function startsOf(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
}
