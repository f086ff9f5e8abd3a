/** What tool authors import, as `mcp-governor/client`. Every name here is public API. */

export { resourceManager, ResourceManager } from './resource-manager.ts';
export type { Cleanup, Factory, Lease, PoolStatistics, ResourceManagerOptions } from './pool-types.ts';
export { ResourceCleanupError } from './cleanup-error.ts';
export type { CleanupProblem, DestroyReport } from './cleanup-error.ts';
export { ResourceCache } from './resource-cache.ts';
export { CACHE_DEFAULTS } from './cache-settings.ts';
export type { Selector } from './cache-selector.ts';
export type {
  CacheEvent,
  CacheEvents,
  CacheLog,
  CacheOptions,
  CacheStatistics,
  EntryId,
  EntryInfo,
  FullId,
  Invalidation,
  Keep,
  Loaded,
  LoadOptions,
  PatternRule,
  SecondLevel,
  SecondLevelStatistics,
  StoredText,
} from './cache-types.ts';
export { redisLevel } from './redis-level.ts';
export type { RedisLevelOptions } from './redis-level.ts';
export { UriPatterns } from '../core/uri-patterns.ts';
export type { UriMatch } from '../core/uri-patterns.ts';
export { UriTemplate } from '../core/uri-template.ts';
export type { UriParameters } from '../core/uri-template.ts';
export { closeHandles, GovernorClient, onPressure, registerHandle } from './governor-client.ts';
export type { HandleOptions, HandleRegistration, PressureEvent, PressureSubscription } from './governor-client.ts';
export type { CloseHandle } from './handles.ts';
export type { CloseContext } from './close-in-order.ts';
export type { FailedHandle, HandlesClosed } from '../core/tool-protocol.ts';
export { ConnectionCloseError, ConnectionManager } from './connection-manager.ts';
export type { Closable, CloseReport, Open, OpenContext } from './connection-manager.ts';
