/**
 * What the worker does: what comes in is written, a transaction a message, and whatever is wrong with the file is waited out. The
 * worker is a thread around it.
 */

import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { closeConnection, troubleOf } from './database.ts';
import type { Connection, OpenConnection, Trouble } from './database.ts';
import { Intake } from './intake.ts';
import type { Answer, KeeperStatus, Post, WorkerStart } from './messages.ts';
import { answer } from './query.ts';
import type { HistoryQuestion } from './query.ts';
import { Rescue } from './rescue.ts';
import type { Note } from './rescue.ts';
import { lackOfRoom } from './room.ts';
import type { Room } from './room.ts';
import { Store } from './store.ts';
import { longestS, TIERS } from './tiers.ts';
import { Timeline } from './timeline.ts';
import type { Boot, ClockReading } from './timeline.ts';
import { boundTotals, saveTotals } from './totals.ts';

export interface KeeperOptions extends WorkerStart {
  readonly open: OpenConnection;
  onNote(note: Note): void;
  onStatus(status: KeeperStatus): void;
  /** Of the file system of a folder. */
  readonly room?: (folder: string) => Room;
}

const RETRY_MS = { first: 2_000, most: 60_000 } as const;
/** Damaged again so soon: it is the disk, and another empty file helps nobody. */
const DAMAGED_AGAIN_MS = 60_000;
const LOOK_EVERY_MS = 60_000;
const TELL_EVERY_MS = 10_000;
/** How often it is said that more is known than there is room for. */
const SHRUNK_EVERY_S = 3_600;
const ROLL_UP_EVERY_S = 10;
const TIDY_EVERY_S = 60;

interface Pause {
  readonly reason: string;
  readonly attempts: number;
  /** Monotonic. */
  readonly untilMs: number;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #rescue: Rescue;
  readonly #intake: Intake;
  #store: Store | null = null;
  #timeline: Timeline | null = null;
  #savedBoot: Boot | null = null;
  #pause: Pause | null = null;
  #clock: ClockReading = { monotonicMs: 0, uptimeMs: 0, wallMs: 0 };
  #damagedMs = -Infinity;
  #rolledUpS = -Infinity;
  #tidiedS = -Infinity;
  #lookedMs = -Infinity;
  #toldMs = -Infinity;
  #shrunkS = -Infinity;
  #written = 0;
  #dropped = 0;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#intake = new Intake(options.sampleIntervalMs);
    this.#rescue = new Rescue({
      path: options.path,
      open: options.open,
      wallMs: () => this.#clock.wallMs,
      note: (note) => options.onNote(note),
    });
  }

  take(post: Post): void {
    this.#clock = post.clock;
    this.#lookForRoom();
    this.#openWhenDue();
    const timeline = this.#timeline;
    timeline?.note(post.clock);
    this.#dropped += this.#intake.take(post, timeline === null ? null : (atMs) => timeline.secondOf(atMs));
    this.#write();
    // What is lost meanwhile is known before it is over.
    if (this.#pause !== null && post.clock.monotonicMs >= this.#toldMs + TELL_EVERY_MS) this.#tell();
  }

  ask(question: HistoryQuestion): Answer {
    this.#lookForRoom();
    this.#openWhenDue();
    const [store, timeline] = [this.#store, this.#timeline];
    if (store === null || timeline === null)
      return { kind: 'unavailable', reason: this.#pause?.reason ?? 'it is not open' };
    try {
      const nowS = timeline.secondOf(this.#clock.monotonicMs);
      const found = answer(question, { store, timeline, settings: this.#options.settings, nowS });
      return found.ok ? { kind: 'document', document: found.value } : { kind: 'refused', refusal: found.error };
    } catch (error) {
      const trouble = troubleOf(error);
      this.#meet(trouble);
      return { kind: 'unavailable', reason: trouble.reason };
    }
  }

  /** Also what is still open is written. */
  close(): void {
    this.#intake.closeAll();
    // Once more, whatever was tried before.
    if (this.#pause !== null) this.#pause = { ...this.#pause, untilMs: -Infinity };
    this.#tidiedS = -Infinity;
    this.#lookedMs = -Infinity;
    this.#lookForRoom();
    this.#openWhenDue();
    this.#write();
    if (this.#store !== null) closeConnection(this.#store.connection);
    this.#store = null;
  }

  get #isWaiting(): boolean {
    return this.#pause !== null && this.#clock.monotonicMs < this.#pause.untilMs;
  }

  /** All that has come in, in one transaction: all of it is in the file, or it goes on waiting. */
  #write(): void {
    const [store, timeline] = [this.#store, this.#timeline];
    if (store === null || timeline === null || this.#isWaiting) return;
    const intake = this.#intake;
    const nowS = timeline.secondOf(this.#clock.monotonicMs);
    const settledS = nowS - intake.settleS;
    const isRollUpDue = settledS >= this.#rolledUpS + ROLL_UP_EVERY_S;
    const isTidyDue = nowS >= this.#tidiedS + TIDY_EVERY_S;
    let [lost, gone] = [0, 0];
    try {
      store.connection.exec('BEGIN IMMEDIATE');
      if (timeline.current !== this.#savedBoot) store.saveBoots(timeline.boots);
      lost = store.write(intake.rows);
      saveTotals(store, intake.totals, nowS);
      store.saveRuns(intake.ended);
      if (isRollUpDue) this.#rollUp(store, settledS, nowS);
      if (isTidyDue) gone = this.#tidy(store, nowS);
      store.connection.exec('COMMIT');
    } catch (error) {
      rollBack(store.connection);
      intake.forgetIds();
      this.#meet(troubleOf(error));
      return;
    }
    this.#savedBoot = timeline.current;
    this.#written += intake.rows.length - lost;
    this.#dropped += lost;
    intake.written();
    if (isTidyDue) this.#tidiedS = floorTo(nowS, TIDY_EVERY_S);
    if (gone > 0) this.#noteShrunk(gone, nowS);
    if (isRollUpDue) {
      this.#rolledUpS = floorTo(settledS, ROLL_UP_EVERY_S);
      this.#tell();
    }
    this.#resume();
  }

  #rollUp(store: Store, settledS: number, nowS: number): void {
    const [second] = TIERS;
    store.rollUp(settledS);
    store.prune(second, this.#options.settings, nowS);
    boundTotals(store);
  }

  /** @returns runs and lines of totals that there was no room for */
  #tidy(store: Store, nowS: number): number {
    const { settings } = this.#options;
    const [, ten, minute] = TIERS;
    store.saveRuns(this.#intake.live);
    store.prune(ten, settings, nowS);
    store.prune(minute, settings, nowS);
    store.pruneKnown(nowS - longestS(settings));
    return store.shrinkTo(settings.maxBytes, nowS);
  }

  #noteShrunk(gone: number, nowS: number): void {
    if (nowS < this.#shrunkS + SHRUNK_EVERY_S) return;
    this.#shrunkS = nowS;
    const fields = { gone, maxBytes: this.#options.settings.maxBytes, file: this.#options.path };
    const message =
      'the history knows more runs and calls than max_size has room for: the oldest of them are forgotten';
    this.#options.onNote({ level: 'warn', fields, message });
  }

  /** Paused until the next look where too little is left to others. */
  #lookForRoom(): void {
    const nowMs = this.#clock.monotonicMs;
    if (nowMs < this.#lookedMs + LOOK_EVERY_MS) return;
    this.#lookedMs = nowMs;
    const { path, room } = this.#options;
    const lack = lackOfRoom(dirname(path), room);
    if (lack !== null) this.#wait(lack, LOOK_EVERY_MS);
  }

  #openWhenDue(): void {
    if (this.#store !== null || this.#isWaiting) return;
    try {
      this.#use(this.#rescue.ready());
      this.#resume();
    } catch (error) {
      this.#meet({ ...troubleOf(error), kind: 'failed' });
    }
  }

  #use(connection: Connection): void {
    const store = new Store(connection);
    // Of a history that was set aside while it was in use, the instants go on as they were.
    this.#timeline ??= new Timeline(store.boots(), store.lastS(), this.#options.boot, this.#clock);
    this.#savedBoot = null;
    this.#store = store;
    this.#intake.forgetIds();
  }

  #meet(trouble: Trouble): void {
    const nowMs = this.#clock.monotonicMs;
    if (trouble.kind !== 'corrupt' || nowMs - this.#damagedMs < DAMAGED_AGAIN_MS) return this.#wait(trouble.reason);
    this.#damagedMs = nowMs;
    this.#store = null;
    try {
      this.#use(this.#rescue.setAside('corrupt'));
    } catch (error) {
      this.#wait(troubleOf(error).reason);
    }
  }

  /** @param forMs null: longer each time */
  #wait(reason: string, forMs: number | null = null): void {
    const isNew = this.#pause === null;
    const attempts = (this.#pause?.attempts ?? 0) + 1;
    const waitMs = forMs ?? Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** (attempts - 1));
    this.#pause = { reason, attempts, untilMs: this.#clock.monotonicMs + waitMs };
    if (!isNew) return this.#tell();
    const fields = { reason, file: this.#options.path };
    this.#options.onNote({
      level: 'error',
      fields,
      message: 'the history is paused: tools are supervised all the same',
    });
    this.#tell();
  }

  #resume(): void {
    if (this.#pause === null) return;
    this.#pause = null;
    const fields = { dropped: this.#dropped, file: this.#options.path };
    this.#options.onNote({ level: 'info', fields, message: 'the history is written again' });
    this.#tell();
  }

  #tell(): void {
    const { path } = this.#options;
    this.#toldMs = this.#clock.monotonicMs;
    this.#options.onStatus({
      state: this.#pause === null ? 'on' : 'paused',
      reason: this.#pause?.reason ?? null,
      written: this.#written,
      dropped: this.#dropped,
      bytes: sizeOf(path) + sizeOf(`${path}-wal`),
    });
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

function floorTo(second: number, stepS: number): number {
  return Math.floor(second / stepS) * stepS;
}

function rollBack(connection: Connection): void {
  try {
    if (connection.inTransaction) connection.exec('ROLLBACK');
  } catch {
    // Whatever is wrong with it shows at the next attempt.
  }
}
