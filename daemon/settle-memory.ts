/**
 * Gives memory back once the daemon is calm. V8 collects when something is allocated: after a burst of launches or
 * requests a daemon whose tools only sleep allocates next to nothing, and would keep the burst's garbage for days.
 */

import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { native } from '../lib/os/native.ts';
import { programPages } from '../lib/os/program-pages.ts';

export interface SettleOptions {
  /** Bytes in use that are not young: what a burst leaves behind. */
  usedBytes(): number;
  /** A full collection; some 50 ms in which nothing else happens. */
  collect(): void;
  /** False while a tool may need to be acted on at once: then it is put off, for a minute at most. */
  isQuiet(): boolean;
  /** What only the burst needed, back to the kernel: free pages of the C heap, pages of our own program files. */
  trim(): void;
}

const EVERY_MS = 5_000;
/** Worth a collection: more than this, and more than this share, since the last one. */
const GROWN_BYTES = 1_000_000;
const GROWN_SHARE = 0.05;
/** Calm: less than this in a period. */
const CALM_BYTES = 200_000;
/** A tool may stay at a stage for days. */
const PUT_OFF_MOST = 60_000 / EVERY_MS;

/** Looks every five seconds. @returns what stops it */
export function settleMemory(options: SettleOptions): () => void {
  let settledBytes = 0;
  let beforeBytes = options.usedBytes();
  let putOff = 0;
  const look = (): void => {
    const usedBytes = options.usedBytes();
    const isCalm = Math.abs(usedBytes - beforeBytes) < CALM_BYTES;
    beforeBytes = usedBytes;
    const grownBytes = usedBytes - settledBytes;
    if (!isCalm || grownBytes < GROWN_BYTES || grownBytes < settledBytes * GROWN_SHARE) return;
    if (putOff < PUT_OFF_MOST && !options.isQuiet()) {
      putOff += 1;
      return;
    }
    putOff = 0;
    options.collect();
    options.trim();
    settledBytes = options.usedBytes();
    beforeBytes = settledBytes;
  };
  const wait = (): NodeJS.Timeout =>
    setTimeout(() => {
      timer = wait();
      look();
    }, EVERY_MS).unref();
  let timer = wait();
  return () => clearTimeout(timer);
}

/** The process itself, which has started; null where it was started without `--expose-gc`. */
export function ownMemory(): Omit<SettleOptions, 'isQuiet'> | null {
  const collect = globalThis.gc;
  if (collect === undefined) return null;
  // What V8 itself does some seconds after a collection, to give pages back: once. Its second round costs as much and finds
  // nothing. By version, that of Node 20: a V8 that does not know the flag complains on stderr.
  if (process.versions.v8.startsWith('11.3.')) setFlagsFromString('--memory-reducer-single-gc');
  const calls = native();
  const releasePages = programPages();
  return {
    usedBytes: () => getHeapSpaceStatistics().reduce((sum, space) => sum + oldBytes(space), 0),
    collect: () => void collect(),
    trim() {
      if (calls.available) calls.trimHeap();
      releasePages();
    },
  };
}

function oldBytes({ space_name, space_used_size }: ReturnType<typeof getHeapSpaceStatistics>[number]): number {
  return space_name.startsWith('new_') ? 0 : space_used_size;
}
