/** The revisions of MCP that Governor speaks, and the names that they fix. */

/**
 * `legacy`: a handshake (`initialize`) and a session: 2024-11-05 to 2025-11-25. `modern`: stateless, `server/discover` and `_meta`
 * on each request: 2026-07-28.
 */
export type Era = 'legacy' | 'modern';

/** Newest first. */
export const LEGACY_VERSIONS = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const;
export const MODERN_VERSIONS = ['2026-07-28'] as const;

/** Keys of `_meta` that the modern era puts on each request. */
export const META = {
  protocolVersion: 'io.modelcontextprotocol/protocolVersion',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  logLevel: 'io.modelcontextprotocol/logLevel',
  subscriptionId: 'io.modelcontextprotocol/subscriptionId',
  /** On results: who answers. */
  serverInfo: 'io.modelcontextprotocol/serverInfo',
  /** On what belongs to a task (2025-11-25). */
  relatedTask: 'io.modelcontextprotocol/related-task',
} as const;

/** JSON-RPC's own codes, MCP's, and Governor's: outside of what JSON-RPC (-32768 to -32000) and with it MCP keep for themselves. */
export const RPC_CODE = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  headerMismatch: -32020,
  unsupportedVersion: -32022,
  /** 2025-11-25 alone: a page has to be opened before the request is sent again. */
  urlElicitationRequired: -32042,
  /** A request was refused: the tool is throttled, its queue is full, its breaker is open. `data.retryAfterMs` says when to try again. */
  refused: -31050,
  /** The server was stopped, or ended by itself, while the request was open. */
  stopped: -31051,
  /** The request ran into its deadline and was cancelled. */
  deadline: -31052,
} as const;
