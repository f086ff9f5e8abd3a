/** What tool authors import, as `mcp-governor/client`. Every name here is public API. */

export { resourceManager, ResourceManager } from './resource-manager.ts';
export type { Cleanup, Factory, Lease, PoolStatistics, ResourceManagerOptions } from './pool-types.ts';
export { ResourceCleanupError } from './cleanup-error.ts';
export type { CleanupProblem, DestroyReport } from './cleanup-error.ts';
