/** The event stream: the last events in a bounded ring, and listeners that get them in order, from where they left off. */

import type { EventView } from '../core/event.ts';

export interface EventHubOptions {
  /** Instance id of this daemon. */
  readonly daemon: string;
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: () => number;
  /** Events kept for those who come back. Default 10,000. */
  readonly capacity?: number;
  /** A listener threw and was dropped. Must not throw. */
  readonly onListenerError?: (error: unknown) => void;
}

/** What happened; the hub adds id, daemon and time. */
export type NewEvent = Omit<EventView, 'id' | 'daemon' | 'at'>;

interface Listener {
  readonly onEvent: (event: EventView) => void;
  /** Id of the event that it gets next. */
  next: number;
  open: boolean;
}

export class EventHub {
  readonly #options: EventHubOptions;
  readonly #capacity: number;
  readonly #listeners = new Set<Listener>();
  /** The event with id n lies at (n - 1) % capacity. */
  readonly #ring: EventView[] = [];
  #lastId = 0;
  #delivering = false;

  constructor(options: EventHubOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? 10_000;
  }

  /** Id of the newest event, 0 before the first one. */
  get lastId(): number {
    return this.#lastId;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  publish(event: NewEvent): EventView {
    const id = this.#lastId + 1;
    const at = new Date(this.#options.wallMs()).toISOString();
    const { type, tool, run, data } = event;
    // Field by field: of a spread with more behind it V8 makes a shape for each object, 300 bytes for each kept event.
    const view: EventView = { type, tool, run, data, id, daemon: this.#options.daemon, at };
    this.#ring[(id - 1) % this.#capacity] = view;
    this.#lastId = id;
    this.#deliver();
    return view;
  }

  /**
   * Events after `lastId` that are still kept, then live ones, each once and in order; null: live ones only.
   * Where some are no longer kept, or `lastId` is of another daemon (told by `daemon`, or by an id that this one has not
   * reached), a `gap` event comes first. Its id is the one before the first event that follows, so that whoever comes
   * back with it misses nothing. A listener that throws is dropped.
   * @param daemon instance id that `lastId` belongs to, where the caller knows it
   * @returns a disposer
   */
  subscribe(lastId: number | null, onEvent: (event: EventView) => void, daemon?: string): () => void {
    const from = lastId ?? this.#lastId;
    const foreign = from > this.#lastId || (daemon !== undefined && daemon !== this.#options.daemon);
    const next = foreign ? this.#oldest() : Math.max(0, from) + 1;
    const listener: Listener = { onEvent, next, open: true };
    this.#listeners.add(listener);
    if (foreign) this.#call(listener, this.#gap(next, { reason: 'another_daemon', missed: null }));
    this.#deliver();
    return () => {
      this.#drop(listener);
    };
  }

  /**
   * Brings every listener up to date. A listener that publishes or subscribes while it is called only adds to the ring:
   * the round that is under way goes on until nobody is behind, so everyone sees one order.
   */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      while (this.#round()) continue;
    } finally {
      this.#delivering = false;
    }
  }

  /** Gives each listener all that it misses; true when there was something to give. */
  #round(): boolean {
    let gave = false;
    for (const listener of this.#listeners) {
      const until = this.#lastId;
      while (listener.open && listener.next <= until) {
        gave = true;
        const oldest = this.#oldest();
        if (listener.next < oldest) {
          const missed = oldest - listener.next;
          listener.next = oldest;
          this.#call(listener, this.#gap(oldest, { reason: 'too_old', missed }));
          continue;
        }
        const event = this.#ring[(listener.next - 1) % this.#capacity];
        listener.next += 1;
        if (event !== undefined) this.#call(listener, event);
      }
    }
    return gave;
  }

  /** Id of the oldest event that is kept, or of the next one. */
  #oldest(): number {
    return Math.max(1, this.#lastId - this.#capacity + 1);
  }

  #call(listener: Listener, event: EventView): void {
    try {
      listener.onEvent(event);
    } catch (error) {
      this.#drop(listener);
      this.#options.onListenerError?.(error);
    }
  }

  #drop(listener: Listener): void {
    listener.open = false;
    this.#listeners.delete(listener);
  }

  #gap(next: number, data: Readonly<Record<string, unknown>>): EventView {
    const at = new Date(this.#options.wallMs()).toISOString();
    return { id: next - 1, daemon: this.#options.daemon, at, type: 'gap', tool: null, run: null, data };
  }
}
