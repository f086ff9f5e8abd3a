/** CPU of a v1 group: `cpuacct.usage` (ns), or `cpu.stat` of the v2 group beside it; the quota is in the cpu controller. */

import { dirname, join } from 'node:path';

import { Cpu2 } from '../cgroup2/cpu.ts';
import { IdleWatch } from '../cgroup2/idle-watch.ts';
import { type CpuPart, QUOTA_PERIOD_US, quotaUs, type Support } from '../cgroup2/parts.ts';
import { KeptFile, KeyedFields, writeKernelFile } from '../kernel-file.ts';

const fields = new KeyedFields(['throttled_time']);

export interface CpuDirectories {
  /** v2 group, else null. */
  readonly unified: string | null;
  readonly cpuacct: string | null;
  readonly cpu: string | null;
}

export class Cpu1 implements CpuPart {
  readonly quotaSupport: Support;
  readonly #usage: UsageSource;
  readonly #control: string | null;
  readonly #stat: KeptFile | null;
  /** The counter stands still without a quota: it is read with one, and once after each change. */
  #held = false;
  #changed = true;
  #throttledMs = 0;

  /** @throws when neither a v2 group nor cpuacct is given, or the errno of open(2) */
  constructor(directories: CpuDirectories) {
    this.#usage = usageSource(directories);
    this.#control = directories.cpu;
    this.#stat = directories.cpu === null ? null : KeptFile.tryOpen(join(directories.cpu, 'cpu.stat'));
    const quota = directories.cpu === null ? null : KeptFile.tryOpen(join(directories.cpu, 'cpu.cfs_quota_us'));
    this.quotaSupport = quota === null ? { reason: 'the cpu controller of cgroup v1 is not usable here' } : true;
    quota?.close();
  }

  usageMs(nowMs: number): number {
    return this.#usage.usageMs(nowMs);
  }

  usageBesideMs(): number {
    return this.#usage.usageBesideMs();
  }

  idleUntilMs(nowMs: number): number {
    return this.#usage.idleUntilMs(nowMs);
  }

  throttledMs(): number {
    if (this.#held || this.#changed) {
      this.#changed = false;
      const nanoseconds = this.#stat?.readKeyed(fields) === true ? (fields.values[0] as number) : 0;
      if (nanoseconds > 0) this.#throttledMs = nanoseconds / 1e6;
    }
    return this.#throttledMs;
  }

  async setQuota(percent: number | null): Promise<void> {
    if (this.#control === null) throw new Error('no cpu controller');
    if (percent !== null) await writeKernelFile(join(this.#control, 'cpu.cfs_period_us'), String(QUOTA_PERIOD_US));
    const quota = percent === null ? '-1' : String(quotaUs(percent));
    await writeKernelFile(join(this.#control, 'cpu.cfs_quota_us'), quota);
    this.#held = percent !== null;
    this.#changed = true;
  }

  close(): void {
    this.#usage.close();
    this.#stat?.close();
  }
}

type UsageSource = Pick<CpuPart, 'usageMs' | 'usageBesideMs' | 'idleUntilMs' | 'close'>;

function usageSource(directories: CpuDirectories): UsageSource {
  if (directories.cpuacct !== null) return new CpuAccounting(directories.cpuacct);
  if (directories.unified === null) throw new Error('neither cpuacct nor a v2 group: CPU time is not known');
  return new Cpu2(directories.unified);
}

class CpuAccounting implements UsageSource {
  readonly #file: KeptFile;
  readonly #idle: IdleWatch;

  constructor(directory: string) {
    this.#file = new KeptFile(join(directory, 'cpuacct.usage'));
    this.#idle = new IdleWatch(join(dirname(directory), 'cpuacct.usage'), readNanoseconds);
  }

  usageMs(nowMs: number): number {
    this.#idle.note(nowMs);
    const nanoseconds = readNanoseconds(this.#file);
    this.#idle.compare(nanoseconds);
    return nanoseconds / 1e6;
  }

  usageBesideMs(): number {
    return readNanoseconds(this.#file) / 1e6;
  }

  idleUntilMs(nowMs: number): number {
    return this.#idle.untilMs(nowMs);
  }

  close(): void {
    this.#file.close();
    this.#idle.close();
  }
}

function readNanoseconds(file: KeptFile): number {
  return file.readNumber() ?? Number.NaN;
}
