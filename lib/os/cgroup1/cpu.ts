/** CPU of a v1 group: `cpuacct.usage` (ns), or `cpu.stat` of the v2 group beside it; the quota is in the cpu controller. */

import { join } from 'node:path';

import { Cpu2 } from '../cgroup2/cpu.ts';
import { type CpuPart, QUOTA_PERIOD_US, quotaUs, type Support } from '../cgroup2/parts.ts';
import { KeptFile, KeyedFields, writeKernelFile } from '../kernel-file.ts';

export interface CpuDirectories {
  /** v2 group, else null. */
  readonly unified: string | null;
  readonly cpuacct: string | null;
  readonly cpu: string | null;
}

export class Cpu1 implements CpuPart {
  readonly quotaSupport: Support;
  readonly #usage: { usageMs(): number; close(): void };
  readonly #control: string | null;
  readonly #stat: KeptFile | null;
  readonly #fields = new KeyedFields(['throttled_time']);
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

  usageMs(): number {
    return this.#usage.usageMs();
  }

  throttledMs(): number {
    if (this.#held || this.#changed) {
      this.#changed = false;
      const nanoseconds = this.#stat?.readKeyed(this.#fields) === true ? (this.#fields.values[0] as number) : 0;
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

function usageSource(directories: CpuDirectories): { usageMs(): number; close(): void } {
  if (directories.cpuacct !== null) {
    const file = new KeptFile(join(directories.cpuacct, 'cpuacct.usage'));
    return { usageMs: () => (file.readNumber() ?? Number.NaN) / 1e6, close: () => file.close() };
  }
  if (directories.unified === null) throw new Error('neither cpuacct nor a v2 group: CPU time is not known');
  return new Cpu2(directories.unified);
}
