/**
 * Is a program what its family says, and inside the operating point? By its own account of what it holds, by V8 and by the kernel, and
 * never by the detector. Part of what is held out.
 */

import { GROWTH_ENDS, leastRise, LONGEST_CYCLE } from './operating-point.ts';
import type { LeakResource, Pace } from './operating-point.ts';
import type { SlowTrial } from './slow-programs.ts';

type Amounts = Readonly<Partial<Record<LeakResource, number>>>;

interface OwnReading {
  /** Heap and what hangs on it, right after a full collection, bytes. */
  readonly live: number;
  /** RssAnon, bytes. */
  readonly anonymous: number;
  readonly file_handles: number;
  readonly sockets: number;
}

/** What a program tells at the end of its trial. */
export interface Account {
  /** Since its start. */
  readonly atMs: number;
  /** What it has taken and not given back, by its own reckoning. */
  readonly held: Amounts;
  /** Of each eighth of a window since the warm-up the least of that. */
  readonly floors: Readonly<Partial<Record<LeakResource, readonly (number | null)[]>>>;
  /** Before its family began. */
  readonly before: OwnReading;
  readonly after: OwnReading;
  /** What a collection at the end of the trial gave back, bytes. */
  readonly floating: number;
  /** The longest time without a full collection since the warm-up. */
  readonly collectedEachMs: number;
}

/** What the kernel says of a program and its descendants at the end of its trial. */
export interface KernelReading {
  /** Of the program alone. */
  readonly file_handles: number;
  readonly sockets: number;
  /** Descendants. */
  readonly tasks: number;
  /** Bytes of files in its TMPDIR. */
  readonly temp_storage: number;
}

const MIB = 2 ** 20;
/** Of an empty Node, about. */
const BASELINE = 40 * MIB;
/** A moment by chance in each slot, and units of memory that are rounded. */
const TOLERANCE = 0.1;
/** Handles that Node opens by itself for the first thread, child or lookup. */
const OWN_HANDLES = 8;
const QUARTERS = 4;
/** Of the account, in a quarter. */
const PARTS = 2;

/** @returns why its verdict says nothing; empty: it is what its family says */
export function outsideThePoint(
  { leaks, rate }: Pick<SlowTrial, 'leaks' | 'rate'>,
  account: Account | null,
  kernel: KernelReading,
  { windowMs }: Pace,
): readonly string[] {
  if (account === null) return ['it told no account'];
  const reasons: string[] = [];
  const least = (resource: LeakResource): number => leastRise(resource, BASELINE);
  for (const [resource, floors] of Object.entries(account.floors) as [LeakResource, (number | null)[]][]) {
    const quarters = quartersOf(floors);
    if (resource === leaks) {
      const want = rate * least(resource) * (1 - TOLERANCE);
      for (const [from, to] of [
        [0, QUARTERS],
        [QUARTERS - 1, 2 * QUARTERS - 1],
      ] as const)
        if (!((quarters[to] as number) - (quarters[from] as number) >= want))
          reasons.push(`${resource} that it holds grows less than its rate`);
    } else {
      const settled = quarters.slice(GROWTH_ENDS * QUARTERS, 2 * QUARTERS);
      if (!(Math.max(...settled) - (settled[0] as number) < least(resource) / 2))
        reasons.push(`${resource} that it holds goes on growing`);
    }
  }
  if (leaks !== null && account.floors[leaks] === undefined) reasons.push(`no account of ${leaks}`);
  const grown: Readonly<Record<LeakResource, number>> = {
    memory: account.after.live - account.before.live,
    file_handles: kernel.file_handles - account.before.file_handles,
    sockets: kernel.sockets - account.before.sockets,
    tasks: kernel.tasks,
    temp_storage: kernel.temp_storage,
  };
  for (const [resource, held] of Object.entries(account.held) as [LeakResource, number][]) {
    const slack = resource === 'memory' || resource === 'temp_storage' ? 2 * MIB : OWN_HANDLES;
    if (!(Math.abs(grown[resource] - held) <= Math.max(slack, 0.15 * held)))
      reasons.push(
        `${resource}: holds ${Math.round(held)} by its account, ${Math.round(grown[resource])} by V8 and the kernel`,
      );
  }
  if (leaks !== 'memory' && account.held.memory === undefined && !(grown.memory < least('memory')))
    reasons.push(`memory that lives has grown by ${Math.round(grown.memory)}`);
  // Both: garbage may have been given back a moment ago.
  if (account.floating > least('memory') && account.collectedEachMs > LONGEST_CYCLE * windowMs)
    reasons.push(`V8 collects only each ${Math.round(account.collectedEachMs / 1_000)} s`);
  return reasons;
}

/** Of each whole quarter of the two windows after the warm-up; NaN where nobody looked in a part of it. */
function quartersOf(eighths: readonly (number | null)[]): readonly number[] {
  const all = Array.from({ length: 2 * QUARTERS * PARTS }, (_, at) => eighths[at] ?? NaN);
  return Array.from({ length: 2 * QUARTERS }, (_, quarter) =>
    Math.min(...all.slice(quarter * PARTS, (quarter + 1) * PARTS)),
  );
}
