/**
 * Totals of the host for people: how much there is to share out. Read in a slow loop, never on the sampling path and
 * never in a request: outside of Linux the calls take milliseconds.
 */

import { statfsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
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
  const measure = process.platform === 'linux' ? linuxMeasure() : portableMeasure;
  let latest: HostTotals | null = null;
  let closed = false;
  const read = async (): Promise<void> => {
    const measured = await measure();
    if (closed) return;
    const disk = statfsSync(tempRoot);
    latest = {
      at: new Date().toISOString(),
      ...measured,
      cores: availableParallelism(),
      cpuPercent: Math.round(measured.cpuPercent * 10) / 10,
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

export type HostMeasure = () => Promise<Pick<HostTotals, 'memoryBytes' | 'memoryAvailableBytes' | 'cpuPercent'>>;

/**
 * Node's own calls: freemem() is MemAvailable of /proc/meminfo here, and the CPU times are those of /proc/stat. The load
 * is that since the last reading; of the first one, since this was called.
 */
export function linuxMeasure(): HostMeasure {
  let before = cpuTimes();
  return async () => {
    const now = cpuTimes();
    const [busy, total] = [now.busy - before.busy, now.total - before.total];
    before = now;
    return {
      memoryBytes: totalmem(),
      memoryAvailableBytes: freemem(),
      cpuPercent: total > 0 ? (busy / total) * 100 : 0,
    };
  };
}

/** Time of all cores since the host started, ms. */
function cpuTimes(): { readonly busy: number; readonly total: number } {
  const times = cpus().map(({ times: { user, nice, sys, idle, irq } }) => ({ busy: user + nice + sys + irq, idle }));
  const busy = times.reduce((sum, time) => sum + time.busy, 0);
  return { busy, total: busy + times.reduce((sum, time) => sum + time.idle, 0) };
}

/** systeminformation knows every platform. Loaded here alone: it is 4 MB that a daemon on Linux need not carry. */
export const portableMeasure: HostMeasure = async () => {
  const { default: system } = await import('systeminformation');
  const [memory, load] = await Promise.all([system.mem(), system.currentLoad()]);
  return { memoryBytes: memory.total, memoryAvailableBytes: memory.available, cpuPercent: load.currentLoad };
};
