/** From raw counters of the operating-system room to the record that the policy judges. */

import type { KernelEvents, Reading, Readings, UsageRecord } from '../core/usage.ts';
import { measured } from '../core/usage.ts';
import { CpuWindow } from '../core/usage-window.ts';
import type { RunSample } from '../os/backend.ts';

/** Remembers the counters of one run between its samples. */
export class RecordBuilder {
  readonly #runId: string;
  readonly #startedMs: number;
  readonly #cores: number;
  readonly #cpu = new CpuWindow();
  #oomKills = 0;
  #cpuThrottledMs = 0;
  #memoryStallMs: number | null = null;
  #lastMs: number | null = null;

  /** @param startedMs monotonic milliseconds at which the activation began @param cores CPUs of the host */
  constructor(runId: string, startedMs: number, cores: number) {
    this.#runId = runId;
    this.#startedMs = startedMs;
    this.#cores = cores;
  }

  build(sample: RunSample, stalled: boolean): UsageRecord {
    const record: UsageRecord = {
      runId: this.#runId,
      atMs: sample.atMs,
      stalled,
      readings: this.readings(sample),
      kernel: this.#kernelEvents(sample),
    };
    this.#lastMs = sample.atMs;
    return record;
  }

  /** Usage alone: the kernel's events stay for the next record. */
  readings(sample: RunSample): Readings {
    return {
      memory: sample.memory,
      cpu: this.#cpuRate(sample.cpuTimeMs),
      file_handles: sample.fileHandles,
      sockets: sample.sockets,
      runtime: measured(Math.max(0, sample.atMs - this.#startedMs), 'exact', sample.atMs),
      temp_storage: sample.tempStorage,
      tasks: sample.tasks,
    };
  }

  #cpuRate(cpuTimeMs: Reading): Reading {
    if (cpuTimeMs.kind !== 'measured') return cpuTimeMs;
    const percent = this.#cpu.add(cpuTimeMs.atMs, cpuTimeMs.value);
    if (percent === null) return { kind: 'unsupported', reason: 'a rate needs two samples' };
    return measured(percent, cpuTimeMs.quality, cpuTimeMs.atMs);
  }

  #kernelEvents(sample: RunSample): KernelEvents {
    const elapsedMs = this.#lastMs === null ? 0 : sample.atMs - this.#lastMs;
    const stallBefore = this.#memoryStallMs;
    const events: KernelEvents = {
      oomKills: Math.max(0, sample.oomKills - this.#oomKills),
      // The kernel sums over CPUs; the policy wants the share of one.
      cpuThrottledMs: Math.max(0, sample.cpuThrottledMs - this.#cpuThrottledMs) / this.#cores,
      memoryStall:
        sample.memoryStallMs === null || stallBefore === null || elapsedMs <= 0
          ? null
          : Math.min(1, Math.max(0, (sample.memoryStallMs - stallBefore) / elapsedMs)),
    };
    this.#oomKills = sample.oomKills;
    this.#cpuThrottledMs = sample.cpuThrottledMs;
    this.#memoryStallMs = sample.memoryStallMs;
    return events;
  }
}
