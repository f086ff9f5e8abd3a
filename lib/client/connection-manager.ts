/** The connections of a tool to others, such as MCP clients, by name: opened once, closed together in reverse order. */

import { GovernorError } from '../core/errors.ts';
import { checkedMs } from './cleanup-interval.ts';
import { closeInOrder } from './close-in-order.ts';
import type { Closed, Closing } from './close-in-order.ts';

/** An MCP client, a socket, a database: whatever has `close()`. */
export interface Closable {
  close(): unknown;
}

export interface OpenContext {
  /** Aborted when it is to be closed before it is open. */
  readonly signal: AbortSignal;
  /** To be called when the connection has ended by itself: it is forgotten, and `connect` opens another. */
  readonly onClosed: () => void;
}

export type Open<T> = (context: OpenContext) => Promise<T> | T;

export class ConnectionCloseError extends Error {
  /** Of the connection. */
  readonly connection: string;

  constructor(connection: string, cause: Error) {
    super(`${connection}: ${cause.message}`, { cause });
    this.name = 'ConnectionCloseError';
    this.connection = connection;
  }
}

export interface CloseReport {
  readonly closed: number;
  readonly errors: readonly ConnectionCloseError[];
  /** All errors in one, for whoever wants to throw it; null when there are none. */
  readonly error: AggregateError | null;
}

interface Connection {
  readonly name: string;
  readonly abort: AbortController;
  /** Settles with `open`, whatever is wanted of it by then. */
  readonly opened: Promise<Closable>;
}

const DEFAULT_DEADLINE_MS = 10_000;

export class ConnectionManager implements AsyncDisposable {
  /** In the order in which they were opened, or asked for where they are not open yet. */
  readonly #connections = new Map<string, Connection>();
  readonly #open = new Map<string, Closable>();
  /** One object may be known by two names. */
  readonly #closed = new WeakSet<Closable>();
  #closing: Promise<CloseReport> | null = null;

  get names(): readonly string[] {
    return [...this.#connections.keys()];
  }

  /** What is open under this name. */
  get(name: string): Closable | undefined {
    return this.#open.get(name);
  }

  /**
   * The connection of this name; opened when there is none, once for all who ask meanwhile.
   * @throws what `open` throws, to all who wait for it; the next call tries again
   * @throws GovernorError illegal_state when it was closed meanwhile, or the manager is
   */
  async connect<T extends Closable>(name: string, open: Open<T>): Promise<T> {
    if (this.#closing !== null) throw new GovernorError('illegal_state', 'the connection manager is closed');
    const connection = this.#connections.get(name) ?? this.#begin(name, open);
    const opened = await connection.opened;
    if (connection.abort.signal.aborted) throw closedMeanwhile(name);
    return opened as T;
  }

  /**
   * Closes one; nothing happens when there is none.
   * @throws GovernorError invalid_request for a deadline that is none, and nothing else
   */
  async close(name: string, options: { readonly deadlineMs?: number } = {}): Promise<CloseReport> {
    const connection = this.#connections.get(name);
    return this.#closeThese(connection === undefined ? [] : [connection], deadlineOf(options));
  }

  /**
   * Closes all, the latest first, one after the other, each within its share of the time; no more can be opened. Closing
   * twice is closing once.
   * @throws GovernorError invalid_request at once for a deadline that is none, and nothing else
   */
  closeAll(options: { readonly deadlineMs?: number } = {}): Promise<CloseReport> {
    const deadlineMs = deadlineOf(options);
    this.#closing ??= this.#closeThese([...this.#connections.values()], deadlineMs);
    return this.#closing;
  }

  /** `closeAll()`. @throws AggregateError of those that could not be closed, unless closeAll() was called before */
  async [Symbol.asyncDispose](): Promise<void> {
    const toldAlready = this.#closing !== null;
    const { error } = await this.closeAll();
    if (error !== null && !toldAlready) throw error;
  }

  #begin<T extends Closable>(name: string, open: Open<T>): Connection {
    const abort = new AbortController();
    let connection: Connection | null = null;
    let ended = false;
    const onClosed = (): void => {
      ended = true;
      if (connection !== null) this.#forget(connection);
    };
    const openNow = async (): Promise<T> => {
      // Never before it is known: what is opened may ask for others.
      await Promise.resolve();
      try {
        const opened = await open({ signal: abort.signal, onClosed });
        if (!abort.signal.aborted && !ended && connection !== null) this.#isOpen(connection, opened);
        return opened;
      } catch (error) {
        onClosed();
        throw error;
      }
    };
    connection = { name, abort, opened: openNow() };
    this.#connections.set(name, connection);
    return connection;
  }

  async #closeThese(connections: readonly Connection[], deadlineMs: number): Promise<CloseReport> {
    const waiting: Closing[] = connections.map((connection) => {
      this.#forget(connection);
      connection.abort.abort(closedMeanwhile(connection.name));
      return { name: connection.name, close: () => this.#closeOne(connection) };
    });
    const things = {
      get size() {
        return waiting.length;
      },
      take: () => waiting.pop() ?? null,
    };
    return reportOf(await closeInOrder(things, 'closed', deadlineMs));
  }

  async #closeOne({ opened }: Connection): Promise<void> {
    const closable = await opened.catch(() => null);
    // It could not be opened: whoever wanted it knows.
    if (closable === null || this.#closed.has(closable)) return;
    this.#closed.add(closable);
    await closable.close();
  }

  /** From now on it is the latest: what it opened on its way goes after it. */
  #isOpen(connection: Connection, opened: Closable): void {
    this.#connections.delete(connection.name);
    this.#connections.set(connection.name, connection);
    this.#open.set(connection.name, opened);
  }

  #forget(connection: Connection): void {
    if (this.#connections.get(connection.name) !== connection) return;
    this.#connections.delete(connection.name);
    this.#open.delete(connection.name);
  }
}

function deadlineOf({ deadlineMs = DEFAULT_DEADLINE_MS }: { readonly deadlineMs?: number }): number {
  return checkedMs('deadlineMs', deadlineMs, 0);
}

function closedMeanwhile(name: string): GovernorError {
  return new GovernorError('illegal_state', `${name} was closed while it was being opened`);
}

function reportOf(outcomes: readonly Closed[]): CloseReport {
  const errors = outcomes.flatMap(({ name, error }) => (error === null ? [] : [new ConnectionCloseError(name, error)]));
  const error =
    errors.length === 0
      ? null
      : new AggregateError(errors, `${errors.length} of ${outcomes.length} connections were not closed`);
  return { closed: outcomes.length - errors.length, errors, error };
}
