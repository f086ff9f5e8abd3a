/** What the scanner knows of one process of the machine, and when it is worth another look. */

import { uptime } from 'node:os';
import type { ScannedRun } from './scanned-run.ts';
import { MS_PER_TICK } from './stat.ts';

export interface SeenProcess {
  readonly pid: number;
  readonly startTicks: number;
  /** Monotonic milliseconds, or when it was seen first where its start lies in the future. */
  readonly bornMs: number;
  /** As of the last look; empty to be asked whose it is at the next one. */
  name: string;
  /** What it belongs to, for good. */
  run: ScannedRun | null;
  /** When a stranger is due for another look, and whether it is asked whose it is then. */
  againMs: number;
  ask: boolean;
  /** The scan that found it last. */
  scan: number;
}

/** A child shows its parent's environment until it calls exec: a young stranger is asked again at these ages. */
const ASK_AGAIN_MS = [150, 1000, 3000] as const;
/**
 * An older one may only call exec once more, or have its pid taken without a trace. The longer it did not, the less it
 * is expected: it is looked at when it is half as old again, at least every minute.
 */
const SHORTEST_MS = 5000;
const LONGEST_MS = 60_000;

export function newlySeen(pid: number, startTicks: number, nowMs: number): SeenProcess {
  const ageMs = Math.max(0, uptime() * 1000 - startTicks * MS_PER_TICK);
  return { pid, startTicks, bornMs: nowMs - ageMs, name: '', run: null, againMs: nowMs, ask: false, scan: 0 };
}

/** Everything about it is in doubt again. */
export function doubt(seen: SeenProcess): void {
  seen.name = '';
  seen.againMs = Number.NEGATIVE_INFINITY;
}

/** A stranger is looked at. @returns true when its age is a reason to ask whose it is */
export function lookedAt(seen: SeenProcess, nowMs: number): boolean {
  if (nowMs < seen.againMs) return false;
  const ageMs = nowMs - seen.bornMs;
  const { ask } = seen;
  const next = ASK_AGAIN_MS.find((age) => age > ageMs);
  seen.ask = next !== undefined;
  seen.againMs = next === undefined ? nowMs + pauseMs(seen, ageMs) : seen.bornMs + next;
  return ask;
}

/** Spread by pid, so that those that were there from the beginning are not all due at once. */
function pauseMs({ pid }: SeenProcess, ageMs: number): number {
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, ageMs / 2)) * (1 - ((pid * 37) % 64) / 128);
}
