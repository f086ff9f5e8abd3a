/** What the router holds itself to. */

export interface RouterSettings {
  /** A server that has not answered by then is left out of a merged list, and the client is told when it has. */
  readonly listTimeoutMs: number;
  /** The same for what servers say of themselves: a client waits for it before it can do anything. */
  readonly describeTimeoutMs: number;
  /** How long a list that was left out is waited for. */
  readonly lateListTimeoutMs: number;
  /** What is waited for a server that was too slow, until it has answered or this time has passed. */
  readonly slowWaitMs: number;
  readonly slowForMs: number;
  /** Changes of lists within this time are told once. */
  readonly coalesceMs: number;
}

export const ROUTER_DEFAULTS: RouterSettings = {
  // Well below the minute that clients wait for an answer; a first start that downloads a package takes longer than either.
  listTimeoutMs: 20_000,
  describeTimeoutMs: 10_000,
  lateListTimeoutMs: 300_000,
  slowWaitMs: 1_000,
  slowForMs: 60_000,
  coalesceMs: 50,
};
