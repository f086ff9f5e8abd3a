/** From raw counters of the operating-system room to the record that the policy judges. */

import type { KernelEvents, Measured, Reading, Readings, UsageRecord } from '../core/usage.ts';
import { NO_KERNEL_EVENTS, unsupported } from '../core/usage.ts';
import { CpuWindow } from '../core/usage-window.ts';
import type { RunSample } from '../os/backend.ts';

/** A record is written over at each sample of its run: no garbage for a tool that only sleeps. Copy to keep. */
type Reused<T> = { -readonly [Key in keyof T]: T[Key] };

const NO_RATE = unsupported('a rate needs two samples');

/** Remembers the counters of one run between its samples. */
export class RecordBuilder {
  readonly #runtimeMs: (atMs: number) => number;
  readonly #cores: number;
  readonly #window = new CpuWindow();
  readonly #cpu: Reused<Measured> = { kind: 'measured', value: 0, quality: 'exact', atMs: 0 };
  readonly #runtime: Reused<Measured> = { kind: 'measured', value: 0, quality: 'exact', atMs: 0 };
  readonly #readings: Reused<Readings>;
  readonly #kernel: Reused<KernelEvents> = { ...NO_KERNEL_EVENTS };
  readonly #record: Reused<UsageRecord>;
  #oomKills = 0;
  #cpuThrottledMs = 0;
  #memoryStallMs: number | null = null;
  #lastMs: number | null = null;

  /** @param runtimeMs of the activation, at a monotonic time @param cores CPUs of the host */
  constructor(runId: string, runtimeMs: (atMs: number) => number, cores: number) {
    this.#runtimeMs = runtimeMs;
    this.#cores = cores;
    this.#readings = {
      memory: NO_RATE,
      cpu: NO_RATE,
      file_handles: NO_RATE,
      sockets: NO_RATE,
      runtime: this.#runtime,
      temp_storage: NO_RATE,
      tasks: NO_RATE,
    };
    this.#record = { runId, atMs: 0, stalled: false, readings: this.#readings, kernel: this.#kernel };
  }

  /** @returns a reused object, with all that is in it */
  build(sample: RunSample, stalled: boolean): UsageRecord {
    const record = this.#record;
    record.atMs = sample.atMs;
    record.stalled = stalled;
    this.readings(sample);
    this.#noteKernelEvents(sample);
    this.#lastMs = sample.atMs;
    return record;
  }

  /** Usage alone: the kernel's events stay for the next record. @returns a reused object */
  readings(sample: RunSample): Readings {
    const readings = this.#readings;
    readings.memory = sample.memory;
    readings.cpu = this.#cpuRate(sample.cpuTimeMs);
    readings.file_handles = sample.fileHandles;
    readings.sockets = sample.sockets;
    this.#runtime.value = Math.max(0, this.#runtimeMs(sample.atMs));
    this.#runtime.atMs = sample.atMs;
    readings.temp_storage = sample.tempStorage;
    readings.tasks = sample.tasks;
    return readings;
  }

  #cpuRate(cpuTimeMs: Reading): Reading {
    if (cpuTimeMs.kind !== 'measured') return cpuTimeMs;
    const percent = this.#window.add(cpuTimeMs.atMs, cpuTimeMs.value);
    if (percent === null) return NO_RATE;
    const reading = this.#cpu;
    reading.value = percent;
    reading.quality = cpuTimeMs.quality;
    reading.atMs = cpuTimeMs.atMs;
    return reading;
  }

  #noteKernelEvents(sample: RunSample): void {
    const elapsedMs = this.#lastMs === null ? 0 : sample.atMs - this.#lastMs;
    const stallBefore = this.#memoryStallMs;
    const kernel = this.#kernel;
    kernel.oomKills = Math.max(0, sample.oomKills - this.#oomKills);
    if (sample.memoryPeakBytes !== undefined) kernel.memoryPeakBytes = sample.memoryPeakBytes;
    // The kernel sums over CPUs; the policy wants the share of one.
    kernel.cpuThrottledMs = Math.max(0, sample.cpuThrottledMs - this.#cpuThrottledMs) / this.#cores;
    kernel.memoryStall =
      sample.memoryStallMs === null || stallBefore === null || elapsedMs <= 0
        ? null
        : Math.min(1, Math.max(0, (sample.memoryStallMs - stallBefore) / elapsedMs));
    this.#oomKills = sample.oomKills;
    this.#cpuThrottledMs = sample.cpuThrottledMs;
    this.#memoryStallMs = sample.memoryStallMs;
  }
}
