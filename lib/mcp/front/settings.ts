/** What one client, and all together, may make the daemon hold, and how long things are waited for. */

export interface FrontSettings {
  /** A legacy session without requests and without an open stream ends after this time; its next request is answered 404. */
  readonly sessionIdleMs: number;
  /** The state that is kept for a modern client between its requests is given up after this time. It is made anew unseen. */
  readonly clientIdleMs: number;
  /** Legacy sessions, modern clients and byte streams together. */
  readonly maxClients: number;
  /** One message. As much as a line of stdio may have. */
  readonly maxBodyBytes: number;
  /** Bodies that are being received at one time, all clients together. */
  readonly maxBodiesBytes: number;
  /** What waits for a client that does not read, on one stream. One message may be larger. */
  readonly maxWaitingBytes: number;
  /** Kept of one stream, for a client that lost its connection. */
  readonly maxReplayEvents: number;
  readonly maxReplayBytes: number;
  /** Kept of all streams together; the oldest stream loses first. */
  readonly maxReplayTotalBytes: number;
  /** Requests of one client that are not answered yet. */
  readonly maxOpenRequests: number;
  /** Requests to one client that it has not answered yet. */
  readonly maxOpenAsks: number;
  /** GET streams that one session has open. */
  readonly maxStreams: number;
  /** Messages of one batch (2025-03-26). */
  readonly maxBatch: number;
  /** A request that is not answered in this time gets its event stream: clients and proxies wait for headers for some minutes only. */
  readonly streamAfterMs: number;
  /** Between comments on a stream on which nothing moves. */
  readonly heartbeatMs: number;
  /** What a client that lost its stream is told to wait before it comes back. */
  readonly retryMs: number;
  /** A question to a client that has no stream open for it is given up after this time. */
  readonly askWaitMs: number;
  /** A byte stream whose client has ended its side: what it has asked for already may still be answered. */
  readonly drainMs: number;
  /** A client on this machine that had a stream open and now has no connection at all is taken for gone after this time. */
  readonly goneMs: number;
  /** How long the tools' header declarations of a server hold (`x-mcp-header`). */
  readonly declarationsMs: number;
}

const MIB = 1024 * 1024;

export const FRONT_DEFAULTS: FrontSettings = {
  sessionIdleMs: 30 * 60_000,
  clientIdleMs: 5 * 60_000,
  maxClients: 1024,
  maxBodyBytes: 64 * MIB,
  maxBodiesBytes: 256 * MIB,
  maxWaitingBytes: 4 * MIB,
  maxReplayEvents: 1000,
  maxReplayBytes: MIB,
  maxReplayTotalBytes: 64 * MIB,
  maxOpenRequests: 4096,
  maxOpenAsks: 256,
  maxStreams: 16,
  maxBatch: 100,
  streamAfterMs: 5000,
  heartbeatMs: 15_000,
  retryMs: 500,
  askWaitMs: 10_000,
  drainMs: 500,
  goneMs: 1500,
  declarationsMs: 60_000,
};

export interface FrontLogger {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}
