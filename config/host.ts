/** The facts of this host that defaults are scaled by. */

import { availableParallelism, totalmem } from 'node:os';
import type { HostFacts } from './defaults.ts';

/** Memory is that of the container where one is smaller than the host. */
export function hostFacts(): HostFacts {
  const total = totalmem();
  // 0: not known; a huge number: no constraint (libuv's uv_get_constrained_memory).
  const constrained = process.constrainedMemory();
  const memoryBytes = constrained > 0 && constrained < total ? constrained : total;
  return { memoryBytes, cores: availableParallelism() };
}
