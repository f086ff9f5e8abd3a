/** Plain Linux without rights to a cgroup: best effort, and said so. */

import { existsSync } from 'node:fs';
import type { ResolvedLimits } from '../../core/limits.ts';
import type {
  Backend,
  BackendProbe,
  Containment,
  ContainmentPlan,
  ContainmentRecord,
  CreateRequest,
  ResourceCapability,
} from '../backend.ts';
import { procfsCapabilities } from './capabilities.ts';
import { ProcfsContainment } from './containment.ts';
import { ScannedRun } from './scanned-run.ts';
import { ProcfsScanner } from './scanner.ts';

/** Usable wherever there is a Linux /proc. */
export async function probeProcfs(): Promise<BackendProbe> {
  const usable = existsSync('/proc/self/stat');
  return {
    backend: 'procfs',
    usable,
    reason: usable ? '/proc is mounted' : '/proc is not mounted, or this is not Linux',
  };
}

export class ProcfsBackend implements Backend {
  readonly id = 'procfs';
  readonly exact = false;
  readonly capabilities: readonly ResourceCapability[] = procfsCapabilities(
    'a process that hides from the scan is missed',
  );
  readonly #scanner = new ProcfsScanner();

  async create(request: CreateRequest): Promise<Containment> {
    const run = new ScannedRun(request.runId);
    this.#scanner.register(run, false);
    return new ProcfsContainment({ scanner: this.#scanner, run, limits: request.limits, tempDir: request.tempDir });
  }

  async adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null> {
    if (record.backend !== this.id) return null;
    const run = new ScannedRun(record.cookie);
    this.#scanner.register(run, true);
    const containment = new ProcfsContainment({ scanner: this.#scanner, run, limits, tempDir });
    if (containment.membership.members().length > 0) return containment;
    containment.close();
    return null;
  }

  /** There is nothing of a run but its processes. */
  plan(): ContainmentPlan {
    return { backend: this.id, directories: [] };
  }

  async discard(): Promise<void> {}

  async sweep(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {
    this.#scanner.close();
  }
}
