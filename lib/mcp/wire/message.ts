/**
 * JSON-RPC 2.0 messages as MCP uses them (basic/index of each revision): values and shapes only. Unknown fields are kept: whatever
 * crosses Governor crosses whole.
 */

export type RequestId = string | number;

/** `params` and `result` are objects in every revision of MCP; positional parameters are never used. */
export type Fields = Readonly<Record<string, unknown>>;

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** A request without its envelope: the id belongs to one connection and is re-numbered on each. */
export interface RequestBody {
  readonly method: string;
  readonly params?: Fields;
}

export interface NotificationBody {
  readonly method: string;
  readonly params?: Fields;
}

/** How a request ended: expected refusals are answers, not exceptions. */
export type Answer =
  | { readonly kind: 'result'; readonly result: Fields }
  | { readonly kind: 'error'; readonly error: RpcError };

export interface RequestMessage extends RequestBody {
  readonly jsonrpc: '2.0';
  readonly id: RequestId;
}

export interface NotificationMessage extends NotificationBody {
  readonly jsonrpc: '2.0';
}

export interface ResultMessage {
  readonly jsonrpc: '2.0';
  readonly id: RequestId;
  readonly result: Fields;
}

export interface ErrorMessage {
  readonly jsonrpc: '2.0';
  /** Absent where the request could not be read. */
  readonly id?: RequestId;
  readonly error: RpcError;
}

export type Message = RequestMessage | NotificationMessage | ResultMessage | ErrorMessage;
