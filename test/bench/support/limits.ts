/** Limits for benches that use the operating-system room without a daemon. */

import { DEFAULT_THRESHOLDS } from '../../../lib/core/ladder.ts';
import type { ResolvedLimit, ResolvedLimits } from '../../../lib/core/limits.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import { DEFAULT_ACTIONS } from '../../../lib/core/response.ts';

const USUAL = {
  memory: 2 ** 30,
  cpu: 100,
  file_handles: 1024,
  sockets: 256,
  runtime: 3_600_000,
  temp_storage: 2 ** 30,
  tasks: 1024,
} as const;

/** A limit on every one of the seven resources, far above what an idle process uses. */
export function limitsOnAll(): ResolvedLimits {
  const limits: Partial<Record<keyof ResolvedLimits, ResolvedLimit>> = {};
  for (const resource of RESOURCES) {
    limits[resource] = {
      resource,
      limit: USUAL[resource],
      thresholds: DEFAULT_THRESHOLDS,
      actions: DEFAULT_ACTIONS[resource],
      source: { from: 'flag', detail: 'bench' },
    };
  }
  return limits as ResolvedLimits;
}
