/**
 * A PID namespace around each run: nobody leaves it, and the end of its first process is the end of all. Measured and
 * limited as without it, by /proc and polling. For unprivileged Linux without a cgroup.
 */

import type { ProcessIdentity } from '../../core/identity.ts';
import type { ResolvedLimits } from '../../core/limits.ts';
import { GovernorError } from '../../core/errors.ts';
import type {
  Backend,
  Containment,
  ContainmentPlan,
  ContainmentRecord,
  CreateRequest,
  ResourceCapability,
} from '../backend.ts';
import { procfsCapabilities } from '../procfs/capabilities.ts';
import { ScannedRun } from '../procfs/scanned-run.ts';
import { ProcfsScanner } from '../procfs/scanner.ts';
import { PidnsContainment } from './containment.ts';
import { type Unshare, unshareWords } from './init.ts';
import { probePidns } from './probe.ts';

export { type PidnsProbe, probePidns } from './probe.ts';

export class PidnsBackend implements Backend {
  readonly id = 'pidns';
  readonly exact = true;
  readonly capabilities: readonly ResourceCapability[] = procfsCapabilities(null);
  readonly #scanner = new ProcfsScanner();
  readonly #unshare: Unshare;

  /** @param unshare what `probePidns` found */
  constructor(unshare: Unshare) {
    this.#unshare = unshare;
  }

  /** Probes. @throws GovernorError `unsupported` with the reason */
  static async open(): Promise<PidnsBackend> {
    const probe = await probePidns();
    if (probe.unshare === null)
      throw new GovernorError('unsupported', `PID namespaces cannot be used here: ${probe.reason}`);
    return new PidnsBackend(probe.unshare);
  }

  async create(request: CreateRequest): Promise<Containment> {
    const run = new ScannedRun(request.runId);
    this.#scanner.register(run, false);
    return this.#contain(run, request.limits, request.tempDir);
  }

  async adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null> {
    if (record.backend !== this.id) return null;
    const run = new ScannedRun(record.cookie);
    run.pidNamespace = record.pidNamespace ?? null;
    this.#scanner.register(run, true);
    const containment = this.#contain(run, limits, tempDir);
    const members: readonly ProcessIdentity[] = containment.membership.members();
    if (members.length > 0) return containment;
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

  #contain(run: ScannedRun, limits: ResolvedLimits, tempDir: string): PidnsContainment {
    return new PidnsContainment({ scanner: this.#scanner, run, limits, tempDir }, unshareWords(this.#unshare));
  }
}
