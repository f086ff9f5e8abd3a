/**
 * Totals of the host for people: how much there is to share out. systeminformation knows every platform, but its calls
 * take milliseconds, so they run in a slow loop, never on the sampling path and never in a request.
 */

import { statfsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { HostTotals } from './backend.ts';

export interface HostTotalsReader {
  /** null until the first reading is there. */
  latest(): HostTotals | null;
  close(): void;
}

const INTERVAL_MS = 60_000;
/** A start has better things to do. */
const FIRST_AFTER_MS = 5_000;

/** @param onError a reading failed; the last one stays, with its old time */
export function readHostTotals(tempRoot: string, onError: (error: unknown) => void): HostTotalsReader {
  let latest: HostTotals | null = null;
  let closed = false;
  const read = async (): Promise<void> => {
    // Loaded late: half of the daemons never live this long.
    const { default: system } = await import('systeminformation');
    const [memory, load] = await Promise.all([system.mem(), system.currentLoad()]);
    if (closed) return;
    const disk = statfsSync(tempRoot);
    latest = {
      at: new Date().toISOString(),
      memoryBytes: memory.total,
      memoryAvailableBytes: memory.available,
      cores: availableParallelism(),
      cpuPercent: Math.round(load.currentLoad * 10) / 10,
      tempFreeBytes: disk.bavail * disk.bsize,
    };
  };
  const first = setTimeout(() => void read().catch(onError), FIRST_AFTER_MS).unref();
  const timer = setInterval(() => void read().catch(onError), INTERVAL_MS).unref();
  return {
    latest: () => latest,
    close() {
      closed = true;
      clearTimeout(first);
      clearInterval(timer);
    },
  };
}
