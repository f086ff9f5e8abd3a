/** Any system with ps(1): measured and polled, without a promise about processes that leave their tree. */

import { execFileSync } from 'node:child_process';
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
import { PortableContainment } from './containment.ts';
import { NO_FILE_HANDLES, NO_SOCKETS } from './reasons.ts';
import { PortableSampler } from './sampler.ts';

export async function probePortable(): Promise<BackendProbe> {
  try {
    execFileSync('ps', ['-o', 'pid=', '-p', String(process.pid)], {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    });
    return { backend: 'portable', usable: true, reason: 'ps works' };
  } catch (error) {
    return {
      backend: 'portable',
      usable: false,
      reason: `ps does not work: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

const LINUX = 'run it on Linux';

const CAPABILITIES: readonly ResourceCapability[] = [
  {
    resource: 'memory',
    measuredBy: 'sum of RSS by pidusage, once a second',
    enforcement: 'polled',
    enforcedBy: 'the daemon',
    toGetMore: LINUX,
  },
  {
    resource: 'cpu',
    measuredBy: 'CPU time by pidusage, once a second',
    enforcement: 'polled',
    enforcedBy: 'nice 10 while throttled',
    toGetMore: LINUX,
  },
  {
    resource: 'file_handles',
    measuredBy: NO_FILE_HANDLES,
    enforcement: 'none',
    enforcedBy: 'nothing',
    toGetMore: LINUX,
  },
  { resource: 'sockets', measuredBy: NO_SOCKETS, enforcement: 'none', enforcedBy: 'nothing', toGetMore: LINUX },
  {
    resource: 'runtime',
    measuredBy: 'monotonic clock of the daemon',
    enforcement: 'polled',
    enforcedBy: 'a deadline in the daemon',
  },
  {
    resource: 'temp_storage',
    measuredBy: 'walk of the private TMPDIR; unlinked files are not seen',
    enforcement: 'polled',
    enforcedBy: 'the daemon',
    toGetMore: LINUX,
  },
  {
    resource: 'tasks',
    measuredBy: 'processes of the tree by ps; threads are not counted',
    enforcement: 'polled',
    enforcedBy: 'the daemon',
    toGetMore: LINUX,
  },
];

export class PortableBackend implements Backend {
  readonly id = 'portable';
  readonly exact = false;
  readonly capabilities = CAPABILITIES;
  readonly #sampler = new PortableSampler();

  async create(request: CreateRequest): Promise<Containment> {
    return new PortableContainment(this.#sampler, request.runId, request.tempDir);
  }

  /** The tree of a run can only be followed from its root on, and a list of processes does not tell whose an orphan is. */
  async adopt(_record: ContainmentRecord, _limits: ResolvedLimits, _tempDir: string): Promise<Containment | null> {
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
    this.#sampler.close();
  }
}
