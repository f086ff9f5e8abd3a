/** Backends in which a process can leave its tree unseen: no stop is ever proven there. */

import type { BackendId } from '../../lib/os/backend.ts';

export const BEST_EFFORT: ReadonlySet<BackendId> = new Set<BackendId>(['procfs', 'portable']);
