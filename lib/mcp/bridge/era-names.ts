/** Names and numbers that one era has and the other has not. */

/** Key of a result's `_meta` (2026-07-28): who answered. */
export const SERVER_INFO = 'io.modelcontextprotocol/serverInfo';

/** Extension of 2026-07-28; not the tasks of 2025-11-25. */
export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';

/** Codes of errors that only one era may send. */
export const ERA_CODE = {
  /** To 2025-11-25; then -32602. */
  resourceNotFound: -32002,
  /** From 2026-07-28: `data.requiredCapabilities`. */
  missingCapability: -32021,
} as const;

/** Requests that may be answered with `resultType: "input_required"` (2026-07-28, basic/patterns/mrtr). */
export const MAY_NEED_INPUT: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read']);

/** What a server may ask within such a result. */
export const INPUT_METHODS: ReadonlySet<string> = new Set([
  'elicitation/create',
  'sampling/createMessage',
  'roots/list',
]);

/** Results that carry `ttlMs` and `cacheScope` (2026-07-28, server/utilities/caching). */
export const CACHEABLE: ReadonlySet<string> = new Set([
  'server/discover',
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'resources/read',
]);
