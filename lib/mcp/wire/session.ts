/**
 * The one seam of this room: a client's conversation with something that answers MCP. A front door holds one for its client; behind it
 * the router composes one for each tool; behind that the pool's leads to a server process. Each layer is a Session over Sessions, so
 * that layers (era bridge, cache, calls) can be put together and tested one by one.
 */

import type { Answer, Fields, NotificationBody, RequestBody } from './message.ts';
import type { Era } from './protocol.ts';

/** What goes on beside one open request. Owned by whoever asked. */
export interface Exchange {
  /** Aborted: whoever asked wants it cancelled (by protocol, `reason` in words). The answer is then awaited no more. */
  readonly signal: AbortSignal;
  /** A notification that belongs to this request: its progress (with the asker's own token), log lines, what a listen stream carries. */
  notify(notification: NotificationBody): void;
  /**
   * A request of the server's that belongs to this request (sampling, elicitation, roots). Legacy servers only; a modern server returns
   * `resultType: "input_required"` as its result instead.
   * @param signal aborted when the server cancels it or goes
   */
  ask(request: RequestBody, signal: AbortSignal): Promise<Answer>;
}

/** A client as the layers behind the front door see it. */
export interface Client {
  readonly era: Era;
  /** Whose usage it is (design: activation, context). Never a session id: it is shown. */
  readonly context: string;
  /** As negotiated (legacy), or as of the last request (modern). */
  readonly protocolVersion: string;
  /** `clientInfo` and `capabilities` as the client sent them, whole. */
  readonly info: Fields;
  readonly capabilities: Fields;
  /** Governor itself, reading lists: it is no one whom a server could ask or tell, and is not counted as there. */
  readonly isGovernor?: true;
  /** Of the client at the front door, where a bridge in between shows another. Absent: `era`. */
  readonly frontEra?: Era;
  /** A notification that belongs to this client but to no request: list_changed, resources/updated, log lines. */
  notify(notification: NotificationBody): void;
  /** A request of the server's that belongs to no open request: ping, `roots/list` after initialized. Answers with an error where the client has no channel for it. */
  ask(request: RequestBody, signal: AbortSignal): Promise<Answer>;
}

/** What a server tells of itself: the result of `initialize` or of `server/discover`, whole, and what both have. */
export interface ServerDescription {
  readonly era: Era;
  readonly protocolVersion: string;
  readonly info: Fields;
  readonly capabilities: Fields;
  readonly instructions?: string;
  /** The whole result, unknown fields included. */
  readonly raw: Fields;
}

export interface Session {
  /**
   * Known without waking a server that sleeps.
   * @throws GovernorError when the server has to be started for it and cannot be (its code and message are for the client)
   */
  describe(signal: AbortSignal): Promise<ServerDescription>;
  /** Never rejects: what goes wrong on the way is an error answer that says why. Handshake methods are never sent here. */
  request(request: RequestBody, exchange: Exchange): Promise<Answer>;
  /** The client's notifications that belong to no request: roots/list_changed and unknown ones. Cancellation is `exchange.signal`; progress of a client's answer goes with `ask`. */
  notify(notification: NotificationBody): void;
  /** Cancels what is open, releases subscriptions and shares by count. Idempotent, never rejects. */
  close(reason: string): Promise<void>;
}

/** Which servers a client came for. */
export type View = { readonly kind: 'all' } | { readonly kind: 'tool'; readonly tool: string };

/** The front doors' whole knowledge of what lies behind. */
export interface Gateway {
  /** @throws GovernorError unknown_tool; not_managed for tools that are not served; shutting_down */
  open(view: View, client: Client): Session;
}

/** One server each, by tool name: the router's whole knowledge of what lies behind. */
export interface Servers {
  /** Tools that are served, in the order of the file. */
  names(): readonly string[];
  /** @throws GovernorError unknown_tool, not_managed, shutting_down */
  open(tool: string, client: Client): Session;
  /** Told when tools were added or removed. Returns a disposer. */
  onChanged(listener: () => void): () => void;
}
