/**
 * Ends a process tree: end of input, SIGTERM, SIGKILL, each only as far as needed, until the tree is proven empty. What
 * the platform can do comes in as a `Target`; the order and the proof are here.
 */

import { setTimeout as sleep } from 'node:timers/promises';

export interface Target {
  /** End of the tool's input, where the daemon holds it; null otherwise. MCP's only portable graceful signal. */
  readonly endInput: (() => void) | null;
  /** Polite signal to every member; resolves to how many were reached. */
  signal(signal: 'SIGTERM'): Promise<number>;
  /** SIGKILL to the whole tree, once. */
  kill(): Promise<void>;
  /** A fresh look; true when no process of the tree lives. */
  empty(): boolean;
  /** Emptiness proves that nothing escaped. */
  readonly exact: boolean;
}

export interface TerminateOptions {
  /** Time for the tool to end by itself; 0 = kill at once. */
  readonly graceMs: number;
  /** Time for the kernel to free a killed tree before the stop counts as unproven. */
  readonly killTimeoutMs: number;
  /** Aborted when there is no more time to be polite: an emergency, a second Ctrl-C. */
  readonly hurry: AbortSignal;
  readonly monotonicMs: () => number;
}

export interface Termination {
  /** False: processes may be left; `left` is not the whole truth then. */
  readonly proven: boolean;
  readonly how: 'was_empty' | 'end_of_input' | 'signal' | 'killed' | 'survived';
  readonly graceMs: number;
  /** Kill decision to empty. */
  readonly killMs: number;
  readonly rounds: number;
}

/** Never throws for a tree that ends meanwhile. */
export async function terminate(target: Target, options: TerminateOptions): Promise<Termination> {
  const startedMs = options.monotonicMs();
  let graceMs = 0;
  const done = (how: Termination['how'], killMs: number, rounds: number): Termination => ({
    proven: how !== 'survived' && target.exact,
    how,
    graceMs,
    killMs,
    rounds,
  });
  if (target.empty()) return done('was_empty', 0, 0);
  if (options.graceMs > 0 && !options.hurry.aborted) {
    // Where there is an input to end, half of the time belongs to that; a stubborn tool still gets its SIGTERM.
    const how = await politely(target, options, startedMs);
    graceMs = options.monotonicMs() - startedMs;
    if (how !== null) return done(how, 0, 0);
  }
  return killUntilEmpty(target, options, done);
}

async function politely(
  target: Target,
  options: TerminateOptions,
  startedMs: number,
): Promise<'end_of_input' | 'signal' | null> {
  if (target.endInput !== null) {
    target.endInput();
    if (await emptyWithin(target, options.graceMs / 2, options)) return 'end_of_input';
  }
  if (options.hurry.aborted) return null;
  await target.signal('SIGTERM');
  const leftMs = options.graceMs - (options.monotonicMs() - startedMs);
  return (await emptyWithin(target, leftMs, options)) ? 'signal' : null;
}

async function killUntilEmpty(
  target: Target,
  options: TerminateOptions,
  done: (how: Termination['how'], killMs: number, rounds: number) => Termination,
): Promise<Termination> {
  const startedMs = options.monotonicMs();
  const elapsed = (): number => options.monotonicMs() - startedMs;
  for (let round = 1; ; round++) {
    await target.kill();
    // A killed tree needs time to free its memory (75 ms per GB measured); re-killing sooner only burns CPU.
    const patience = { monotonicMs: options.monotonicMs };
    if (await emptyWithin(target, Math.min(50 * round, options.killTimeoutMs - elapsed()), patience)) {
      return done('killed', elapsed(), round);
    }
    if (elapsed() >= options.killTimeoutMs) return done('survived', elapsed(), round);
  }
}

/** Polls closely at first: most trees are gone within a few milliseconds. */
async function emptyWithin(
  target: Target,
  withinMs: number,
  { monotonicMs, hurry }: { readonly monotonicMs: () => number; readonly hurry?: AbortSignal },
): Promise<boolean> {
  const untilMs = monotonicMs() + withinMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 1.5, 25)) {
    if (target.empty()) return true;
    const leftMs = untilMs - monotonicMs();
    if (leftMs <= 0 || hurry?.aborted === true) return false;
    await sleep(Math.min(pauseMs, leftMs));
  }
}
