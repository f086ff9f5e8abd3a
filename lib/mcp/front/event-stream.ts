/**
 * Server-sent events of the legacy era (WHATWG HTML section 9.2): a stream outlives its connection. Each event has an id that names
 * its stream and its place in it, and is kept for a while, so that a client that lost its connection goes on where it was.
 */

import type { ServerResponse } from 'node:http';
import { writeBounded } from './outlet.ts';
import type { Outlet } from './outlet.ts';
import type { FrontSettings } from './settings.ts';

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
} as const;

export const COMMENT = ': still here\n\n';

type Bounds = Pick<
  FrontSettings,
  'maxReplayEvents' | 'maxReplayBytes' | 'maxReplayTotalBytes' | 'maxWaitingBytes' | 'retryMs'
>;

interface Kept {
  readonly number: number;
  readonly chunk: string;
}

/** What is kept of all streams together. */
export class ReplayStore {
  readonly #maxBytes: number;
  /** Oldest first. */
  readonly #streams = new Set<EventStream>();
  #bytes = 0;

  constructor({ maxReplayTotalBytes }: Pick<Bounds, 'maxReplayTotalBytes'>) {
    this.#maxBytes = maxReplayTotalBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  changed(stream: EventStream, deltaBytes: number): void {
    this.#bytes += deltaBytes;
    if (stream.keptBytes === 0) this.#streams.delete(stream);
    else this.#streams.add(stream);
    for (const oldest of this.#streams) {
      if (this.#bytes <= this.#maxBytes) return;
      oldest.forget();
    }
  }
}

export interface EventStreamOptions {
  /** Unique in its session; letters and digits. */
  readonly id: string;
  /** An event without data first, as clients of 2025-11-25 know it; older ones cannot read it. */
  readonly primed: boolean;
  readonly bounds: Bounds;
  readonly store: ReplayStore;
  /** Its client does not read: the connection was given up, the stream goes on. */
  readonly onOverflow: (stream: EventStream) => void;
  /** It has no connection any more, or has ended. */
  readonly onDetached: (stream: EventStream) => void;
}

export class EventStream implements Outlet {
  readonly id: string;
  readonly #options: EventStreamOptions;
  #response: ServerResponse | null = null;
  #kept: Kept[] = [];
  #keptBytes = 0;
  #next = 0;
  #finished = false;

  constructor(options: EventStreamOptions) {
    this.id = options.id;
    this.#options = options;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  get attached(): boolean {
    return this.#response !== null;
  }

  /** Nothing comes any more; what is kept can still be asked for. */
  get finished(): boolean {
    return this.#finished;
  }

  hasAfter(number: number): boolean {
    return this.#kept.some((event) => event.number > number);
  }

  /**
   * Gives it a connection; an earlier one ends.
   * @param after number of the last event that the client has; null for a new stream
   */
  attach(response: ServerResponse, after: number | null): void {
    this.#response?.end();
    this.#response = response;
    response.on('close', () => {
      if (this.#response !== response) return;
      this.#response = null;
      this.#options.onDetached(this);
    });
    response.writeHead(200, EVENT_STREAM_HEADERS);
    if (after === null && this.#options.primed) {
      const { retryMs } = this.#options.bounds;
      response.write(`retry: ${retryMs}\nid: ${this.#eventId(this.#next++)}\ndata: \n\n`);
    } else response.flushHeaders();
    if (after !== null) for (const { number, chunk } of this.#kept) if (number > after) this.#write(chunk);
    if (this.#finished) this.#end();
  }

  /** Kept for a client that has no connection, so it may always reach somebody. */
  send(text: string): boolean {
    if (this.#finished) return false;
    const number = this.#next++;
    const chunk = `id: ${this.#eventId(number)}\ndata: ${text}\n\n`;
    this.#keep({ number, chunk });
    this.#write(chunk);
    return true;
  }

  /** A comment, so that nobody on the way takes the connection for dead. */
  comment(): void {
    if (this.#response !== null && this.#response.writableLength === 0) this.#response.write(COMMENT);
  }

  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#end();
  }

  /** Forgets what it has kept. */
  forget(): void {
    const bytes = this.#keptBytes;
    if (bytes === 0) return;
    this.#kept = [];
    this.#keptBytes = 0;
    this.#options.store.changed(this, -bytes);
  }

  /** @param lastEventId `STREAM-NUMBER` @returns null for something else */
  static parseEventId(lastEventId: string): { readonly stream: string; readonly number: number } | null {
    const parts = /^([0-9a-z]{1,16})-([0-9]{1,15})$/.exec(lastEventId);
    return parts === null ? null : { stream: parts[1] ?? '', number: Number(parts[2]) };
  }

  #eventId(number: number): string {
    return `${this.id}-${number}`;
  }

  #end(): void {
    const response = this.#response;
    if (response === null) return;
    this.#response = null;
    response.end();
    this.#options.onDetached(this);
  }

  #write(chunk: string): void {
    const response = this.#response;
    if (response === null) return;
    const outcome = writeBounded(response, chunk, this.#options.bounds.maxWaitingBytes);
    if (outcome === 'written') return;
    this.#response = null;
    if (outcome === 'overflow') this.#options.onOverflow(this);
    this.#options.onDetached(this);
  }

  /** Sizes are those of the text: twice that in memory where it has letters beyond Latin-1. */
  #keep(event: Kept): void {
    const { maxReplayEvents, maxReplayBytes } = this.#options.bounds;
    let delta = event.chunk.length;
    this.#kept.push(event);
    let keptBytes = this.#keptBytes + event.chunk.length;
    // The newest stays, however long it is: it may be the answer.
    while (this.#kept.length > 1 && (this.#kept.length > maxReplayEvents || keptBytes > maxReplayBytes)) {
      const dropped = this.#kept.shift()?.chunk.length ?? 0;
      keptBytes -= dropped;
      delta -= dropped;
    }
    this.#keptBytes = keptBytes;
    this.#options.store.changed(this, delta);
  }
}
