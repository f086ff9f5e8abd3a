/** CPU of a v2 group. `cpu.stat` is there without the controller; `cpu.max` and the throttling counters are not. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { KeptFile, KeyedFields, writeKernelFile } from '../kernel-file.ts';
import { IdleWatch } from './idle-watch.ts';
import { type CpuPart, QUOTA_PERIOD_US, quotaUs, type Support } from './parts.ts';

/** Without the controller there is no throttling, and the first line is all that has to be looked at. */
const usageFields = new KeyedFields(['usage_usec']);
const controlledFields = new KeyedFields(['usage_usec', 'throttled_usec']);

export class Cpu2 implements CpuPart {
  readonly quotaSupport: Support;
  readonly #directory: string;
  readonly #stat: KeptFile;
  readonly #fields: KeyedFields;
  #throttledMs = 0;
  readonly #idle: IdleWatch;

  /** @throws the errno of open(2) */
  constructor(directory: string) {
    this.#directory = directory;
    this.#stat = new KeptFile(join(directory, 'cpu.stat'));
    this.#idle = new IdleWatch(join(dirname(directory), 'cpu.stat'), readUsage);
    const controlled = existsSync(join(directory, 'cpu.max'));
    this.#fields = controlled ? controlledFields : usageFields;
    this.quotaSupport = controlled ? true : { reason: 'the cpu controller is not available in the v2 hierarchy' };
  }

  usageMs(nowMs: number): number {
    this.#idle.note(nowMs);
    if (!this.#stat.readKeyed(this.#fields)) return Number.NaN;
    const { values } = this.#fields;
    const usageUs = values[0] as number;
    this.#idle.compare(usageUs);
    const throttledUs = values[1] ?? 0;
    this.#throttledMs = throttledUs > 0 ? throttledUs / 1000 : 0;
    return usageUs / 1000;
  }

  usageBesideMs(): number {
    return readUsage(this.#stat) / 1000;
  }

  idleUntilMs(nowMs: number): number {
    return this.#idle.untilMs(nowMs);
  }

  /** Of the same read as `usageMs`, which goes before. */
  throttledMs(): number {
    return this.#throttledMs;
  }

  async setQuota(percent: number | null): Promise<void> {
    const quota = percent === null ? 'max' : String(quotaUs(percent));
    await writeKernelFile(join(this.#directory, 'cpu.max'), `${quota} ${QUOTA_PERIOD_US}`);
  }

  close(): void {
    this.#stat.close();
    this.#idle.close();
  }
}

function readUsage(file: KeptFile): number {
  return file.readKeyed(usageFields) ? (usageFields.values[0] as number) : Number.NaN;
}
