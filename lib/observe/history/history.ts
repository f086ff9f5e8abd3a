/**
 * History as the daemon sees it. A sample costs it a row of numbers in a buffer; about once a second the buffer goes to the worker,
 * which does everything else. When that cannot keep up, readings are dropped and counted, and nobody waits.
 */

import { Worker } from 'node:worker_threads';
import type { CallSums } from './totals.ts';
import type { UsageRecord } from '../../core/usage.ts';
import type { Answer, FromWorker, KeeperStatus, NewRun, ToWorker, WorkerStart } from './messages.ts';
import type { HistoryQuestion } from './query.ts';
import { ReadingBatch } from './readings.ts';
import type { Note } from './rescue.ts';
import type { ClockReading } from './timeline.ts';
import { addSums } from './totals.ts';
import type { CallTotal } from './totals.ts';

export interface HistoryOptions extends WorkerStart {
  clock(): ClockReading;
  onNote(note: Note): void;
}

/** A run, as far as it is of interest here. */
export interface SampledRun {
  readonly id: string;
  readonly tool: string;
  readonly context: string | null;
  readonly last: UsageRecord | null;
}

/** `waiting`: it is opened with the first reading. `failed`: there is none for the rest of this daemon's life. */
export type HistoryStatus = Omit<KeeperStatus, 'state'> & {
  readonly state: KeeperStatus['state'] | 'waiting' | 'failed';
};

const POST_EVERY_MS = 1_000;
const BATCH_ROWS = 2_048;
/** Also the most that the worker can be behind by. */
const BATCHES_MAX = 8;
/** Different calls between two posts; the others are added up without a name. */
const CALLS_MAX = 1_000;
/** A run that was not sampled for so long is over. The longest interval of samples is a minute. */
const QUIET_MS = 150_000;
/** Its heap: what an answer takes, and a young generation that does not grow for rows that live for a second. */
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 } as const;

interface Slot {
  readonly index: number;
  seenMs: number;
}

export class History {
  readonly #options: HistoryOptions;
  readonly #slots = new Map<string, Slot>();
  readonly #free: number[] = [];
  readonly #buffers: ArrayBuffer[] = [];
  readonly #calls = new Map<string, CallTotal>();
  readonly #asked = new Map<number, (answer: Answer) => void>();
  #began: NewRun[] = [];
  #ended: number[] = [];
  #batch: ReadingBatch | null = null;
  #made = 0;
  #worker: Worker | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lastAsked = 0;
  /** Readings for which there was no room. */
  #dropped = 0;
  #status: HistoryStatus = { state: 'waiting', reason: null, written: 0, dropped: 0, bytes: 0 };
  #closed: (() => void) | null = null;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  status(): HistoryStatus {
    return { ...this.#status, dropped: this.#status.dropped + this.#dropped };
  }

  /** Copies its last record. */
  sample({ id, tool, context, last }: SampledRun): void {
    if (last === null || this.#isOver) return;
    const slot = this.#slots.get(id) ?? this.#begin(id, tool, context);
    slot.seenMs = last.atMs;
    if (this.#batch?.isFull === true) this.#post();
    this.#batch ??= this.#nextBatch();
    if (this.#batch === null) this.#dropped += 1;
    else this.#batch.add(slot.index, last.atMs, last.readings);
    this.#arm();
  }

  /** Adds up what one call came to. */
  call(key: Pick<CallTotal, 'tool' | 'context' | 'method' | 'name'>, sums: CallSums): void {
    if (this.#isOver) return;
    const named = `${key.tool}\0${key.context}\0${key.method}\0${key.name}`;
    const isMore = this.#calls.size >= CALLS_MAX && !this.#calls.has(named);
    const of = isMore ? `${key.tool}\0` : named;
    const before = this.#calls.get(of) ?? {
      ...key,
      ...(isMore ? { context: '', method: '', name: '' } : {}),
      ...NO_CALLS,
    };
    this.#calls.set(of, { ...before, ...addSums(before, sums) });
    this.#arm();
  }

  /** The newest readings included. */
  ask(question: HistoryQuestion): Promise<Answer> {
    if (this.#isOver) return Promise.resolve({ kind: 'unavailable', reason: this.#status.reason ?? 'the daemon ends' });
    this.#post();
    const id = (this.#lastAsked += 1);
    return new Promise((resolve) => {
      this.#asked.set(id, resolve);
      this.#tell({ kind: 'ask', id, question });
      // Whoever waits for an answer keeps the process.
      this.#worker?.ref();
    });
  }

  /** Writes what there is. Never rejects. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const worker = this.#worker;
    if (worker === null || this.#isOver) return;
    this.#post();
    const closed = new Promise<void>((resolve) => (this.#closed = resolve));
    this.#tell({ kind: 'close' });
    worker.ref();
    await closed;
    await worker.terminate();
  }

  get #isOver(): boolean {
    return this.#status.state === 'failed' || this.#closed !== null;
  }

  #begin(run: string, tool: string, context: string | null): Slot {
    const index = this.#free.pop() ?? this.#slots.size;
    const slot = { index, seenMs: 0 };
    this.#slots.set(run, slot);
    this.#began.push({ slot: index, tool, run, context });
    return slot;
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => this.#post(), POST_EVERY_MS).unref();
  }

  #post(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const clock = this.#options.clock();
    this.#endQuiet(clock.monotonicMs);
    const batch = this.#batch ?? this.#nextBatch();
    // The worker is behind: what has begun and was called is told with the next one.
    if (batch === null) return this.#arm();
    this.#batch = null;
    const { buffer, rows } = batch;
    const post = { buffer, rows, ended: this.#ended, began: this.#began, calls: [...this.#calls.values()], clock };
    this.#tell({ kind: 'post', post }, [buffer]);
    this.#ended = [];
    this.#began = [];
    this.#calls.clear();
  }

  #nextBatch(): ReadingBatch | null {
    const known = this.#buffers.pop();
    if (known !== undefined) return new ReadingBatch(known);
    if (this.#made >= BATCHES_MAX) return null;
    this.#made += 1;
    return new ReadingBatch(new ArrayBuffer(ReadingBatch.bytes(BATCH_ROWS)));
  }

  #endQuiet(nowMs: number): void {
    for (const [run, slot] of this.#slots) {
      if (nowMs - slot.seenMs < QUIET_MS) continue;
      this.#slots.delete(run);
      this.#ended.push(slot.index);
      this.#free.push(slot.index);
    }
  }

  #tell(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(message, transfer);
  }

  #start(): Worker {
    const { path, boot, settings } = this.#options;
    const workerData: WorkerStart = { path, boot, settings };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData,
      name: 'history',
      resourceLimits: LIMITS,
      execArgv: [],
    });
    worker.on('message', (message: FromWorker) => this.#hear(message));
    worker.on('error', (error: Error) => this.#fail(error.message));
    worker.on('exit', () => this.#fail('its thread has ended'));
    worker.unref();
    return worker;
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'buffer':
        this.#buffers.push(message.buffer);
        return;
      case 'status':
        this.#status = message.status;
        return;
      case 'note':
        return this.#options.onNote(message.note);
      case 'answer':
        this.#asked.get(message.id)?.(message.answer);
        this.#asked.delete(message.id);
        if (this.#asked.size === 0 && this.#closed === null) this.#worker?.unref();
        return;
      case 'closed':
        return this.#closed?.();
    }
  }

  /** Its binary is not there for this host, or the thread died: the daemon goes on without. */
  #fail(reason: string): void {
    const wasClosing = this.#closed !== null;
    this.#closed?.();
    if (!wasClosing && this.#status.state !== 'failed') {
      const fields = { reason };
      this.#options.onNote({
        level: 'error',
        fields,
        message: 'there is no history: tools are supervised all the same',
      });
      this.#status = { ...this.#status, state: 'failed', reason };
    }
    for (const answer of this.#asked.values()) answer({ kind: 'unavailable', reason });
    this.#asked.clear();
    this.#batch = null;
    this.#buffers.length = 0;
  }
}

const NO_CALLS: CallSums = {
  calls: 0,
  failures: 0,
  durationMs: 0,
  maxMs: 0,
  cpuTimeMs: 0,
  sharedCpuTimeMs: 0,
  unmeasured: 0,
};
