import type { ResolvedLimits } from '../core/limits.ts';

/** For trial runs, and for what is only taken up to be ended. */
export const NO_LIMITS: ResolvedLimits = {
  memory: null,
  cpu: null,
  file_handles: null,
  sockets: null,
  runtime: null,
  temp_storage: null,
  tasks: null,
};
