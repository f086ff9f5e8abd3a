/**
 * History as the daemon sees it. A sample costs it a row of numbers in a buffer; every few seconds the buffer goes to the worker,
 * which does everything else. When that cannot keep up, readings are dropped and counted, and nobody waits.
 */

import { Worker } from 'node:worker_threads';
import { CallTally } from './call-tally.ts';
import type { CallSums } from './totals.ts';
import type { UsageRecord } from '../../core/usage.ts';
import type { Answer, FromWorker, KeeperStatus, NewRun, ToWorker, WorkerStart } from './messages.ts';
import type { HistoryQuestion } from './query.ts';
import { ReadingBatch } from './readings.ts';
import type { Note } from './rescue.ts';
import type { ClockReading } from './timeline.ts';
import type { CallTotal } from './totals.ts';

export interface HistoryOptions extends WorkerStart {
  clock(): ClockReading;
  onNote(note: Note): void;
  /** @throws where the host has no thread left */
  readonly thread?: (start: WorkerStart) => Worker;
}

/** A run, as far as it is of interest here. */
export interface SampledRun {
  readonly id: string;
  readonly tool: string;
  readonly context: string | null;
  readonly last: UsageRecord | null;
}

/** `waiting`: it is opened with the first reading. `failed`: its thread has died; another one is tried after a while. */
export type HistoryStatus = Omit<KeeperStatus, 'state'> & {
  readonly state: KeeperStatus['state'] | 'waiting' | 'failed';
};

/** Each message wakes the worker and is a transaction, which costs more than the rows in it. */
const POST_EVERY_MS = 4_000;
const BATCH_ROWS = 2_048;
/** Also the most that the worker can be behind by. */
const BATCHES_MAX = 8;
/** A run that was not sampled for so long is over. The longest interval of samples is a minute. */
const QUIET_MS = 150_000;
const LOOK_FOR_QUIET_MS = 30_000;
/** Its heap: what an answer takes, and a young generation that does not grow for rows that live for a second. */
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 } as const;

/** After a death of the worker, doubled with each that follows. */
const REVIVE_MS = { first: 10_000, most: 600_000 } as const;
/** What it may take to write what is left, at the end. */
const CLOSE_MS = 4_000;

interface Slot {
  readonly index: number;
  seenMs: number;
}

export class History {
  readonly #options: HistoryOptions;
  readonly #slots = new Map<string, Slot>();
  readonly #free: number[] = [];
  readonly #buffers: ArrayBuffer[] = [];
  readonly #calls = new CallTally();
  readonly #asked = new Map<number, (answer: Answer) => void>();
  #began: NewRun[] = [];
  #ended: number[] = [];
  #batch: ReadingBatch | null = null;
  #made = 0;
  #worker: Worker | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lastAsked = 0;
  #lookedForQuietMs = -Infinity;
  /** Readings for which there was no room. */
  #dropped = 0;
  #status: HistoryStatus = { state: 'waiting', reason: null, written: 0, dropped: 0, bytes: 0 };
  /** Of workers that have died. */
  #before = { written: 0, dropped: 0 };
  /** Rows of batches that the worker has not read yet, in order. */
  #underway: number[] = [];
  #deaths = 0;
  #reviveMs = -Infinity;
  #closed: (() => void) | null = null;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  status(): HistoryStatus {
    const { written, dropped } = this.#before;
    return {
      ...this.#status,
      written: this.#status.written + written,
      dropped: this.#status.dropped + dropped + this.#dropped,
    };
  }

  /** Copies its last record. */
  sample({ id, tool, context, last }: SampledRun): void {
    if (last === null || this.#closed !== null) return;
    // First: should it find no thread, all places are given anew.
    if (this.#batch?.isFull === true) this.#post();
    if (this.#isDown(last.atMs)) {
      this.#dropped += 1;
      return;
    }
    const slot = this.#slots.get(id) ?? this.#begin(id, tool, context);
    slot.seenMs = last.atMs;
    this.#batch ??= this.#nextBatch();
    if (this.#batch === null) this.#dropped += 1;
    else this.#batch.add(slot.index, last.atMs, last.readings);
    this.#arm();
  }

  /** Adds up what one call came to. */
  call(key: Pick<CallTotal, 'tool' | 'context' | 'method' | 'name'>, sums: CallSums): void {
    if (this.#closed !== null) return;
    this.#calls.add(key, sums);
    this.#arm();
  }

  /** The newest readings included. */
  ask(question: HistoryQuestion): Promise<Answer> {
    const isDown = this.#closed !== null || this.#isDown(this.#options.clock().monotonicMs);
    if (!isDown) this.#post();
    if (isDown || this.#status.state === 'failed')
      return Promise.resolve({ kind: 'unavailable', reason: this.#status.reason ?? 'the daemon ends' });
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
    if (worker === null || this.#closed !== null) {
      this.#closed ??= () => undefined;
      return;
    }
    this.#post();
    if (this.#worker !== worker) return;
    const closed = new Promise<boolean>((resolve) => (this.#closed = () => resolve(true)));
    this.#tell({ kind: 'close' });
    worker.ref();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), CLOSE_MS)));
    const isDone = await Promise.race([closed, late]);
    clearTimeout(timer);
    const ended = worker.terminate();
    // One that hangs keeps nobody.
    if (isDone) await ended;
    else worker.unref();
  }

  /** While its thread is dead; the first one to ask when it is time begins anew. */
  #isDown(nowMs: number): boolean {
    if (this.#status.state !== 'failed') return false;
    if (nowMs < this.#reviveMs) return true;
    this.#status = { ...this.#status, state: 'waiting' };
    return false;
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
    // What calls came to waits for the next one.
    const clock = this.#options.clock();
    if (this.#isDown(clock.monotonicMs)) return;
    this.#endQuiet(clock.monotonicMs);
    const batch = this.#batch ?? this.#nextBatch();
    // The worker is behind: what has begun and was called is told with the next one.
    if (batch === null) return this.#arm();
    this.#batch = null;
    const { buffer, rows } = batch;
    const post = { buffer, rows, ended: this.#ended, began: this.#began, calls: this.#calls.all, clock };
    this.#underway.push(rows);
    if (!this.#tell({ kind: 'post', post }, [buffer])) return;
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
    if (nowMs - this.#lookedForQuietMs < LOOK_FOR_QUIET_MS) return;
    this.#lookedForQuietMs = nowMs;
    for (const [run, slot] of this.#slots) {
      if (nowMs - slot.seenMs < QUIET_MS) continue;
      this.#slots.delete(run);
      this.#ended.push(slot.index);
      this.#free.push(slot.index);
    }
  }

  /** @returns false: there is no thread to tell it */
  #tell(message: ToWorker, transfer: readonly ArrayBuffer[] = []): boolean {
    try {
      this.#worker ??= this.#start();
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
      return false;
    }
    this.#worker.postMessage(message, transfer);
    return true;
  }

  #start(): Worker {
    const { path, boot, settings, sampleIntervalMs, thread = startThread } = this.#options;
    const worker = thread({ path, boot, settings, sampleIntervalMs });
    // Of one that has been given up, nothing is heard any more.
    const own = (): boolean => worker === this.#worker;
    worker.on('message', (message: FromWorker) => own() && this.#hear(message));
    worker.on('error', (error: Error) => own() && this.#fail(error.message));
    worker.on('exit', () => own() && this.#fail('its thread has ended'));
    worker.unref();
    return worker;
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'buffer':
        this.#buffers.push(message.buffer);
        this.#underway.shift();
        return;
      case 'status':
        this.#status = message.status;
        if (message.status.state === 'on') this.#deaths = 0;
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

  /** Its binary is not there for this host, there is no thread left, or the thread died: the daemon goes on without, for a while. */
  #fail(reason: string): void {
    for (const answer of this.#asked.values()) answer({ kind: 'unavailable', reason });
    this.#asked.clear();
    if (this.#closed !== null) return this.#closed();
    const { written, dropped } = this.status();
    this.#before = {
      written,
      dropped: dropped + this.#underway.reduce((sum, rows) => sum + rows, this.#batch?.rows ?? 0),
    };
    this.#dropped = 0;
    this.#worker = null;
    this.#deaths += 1;
    const waitMs = Math.min(REVIVE_MS.most, REVIVE_MS.first * 2 ** (this.#deaths - 1));
    this.#reviveMs = this.#options.clock().monotonicMs + waitMs;
    if (this.#deaths === 1) {
      const message = 'there is no history for now: tools are supervised all the same';
      this.#options.onNote({ level: 'error', fields: { reason, againInMs: waitMs }, message });
    }
    this.#status = { state: 'failed', reason, written: 0, dropped: 0, bytes: this.#status.bytes };
    // The next one knows of no run.
    this.#slots.clear();
    for (const list of [this.#free, this.#began, this.#ended, this.#buffers, this.#underway]) list.length = 0;
    this.#made = 0;
    this.#batch = null;
  }
}

function startThread(workerData: WorkerStart): Worker {
  const url = new URL('./worker.js', import.meta.url);
  return new Worker(url, { workerData, name: 'history', resourceLimits: LIMITS, execArgv: [] });
}
