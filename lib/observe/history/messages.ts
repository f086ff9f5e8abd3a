/** What the daemon's thread and the worker tell each other. */

import type { HistoryDocument, HistoryQuestion, Refusal } from './query.ts';
import type { Note } from './rescue.ts';
import type { HistorySettings } from './tiers.ts';
import type { ClockReading } from './timeline.ts';
import type { CallTotal } from './totals.ts';

export interface WorkerStart {
  readonly path: string;
  readonly boot: string;
  readonly settings: HistorySettings;
  /** At which a calm run is read; never more slowly. */
  readonly sampleIntervalMs: number;
}

export interface NewRun {
  readonly slot: number;
  readonly tool: string;
  readonly run: string;
  readonly context: string | null;
}

/** What has happened since the message before. */
export interface Post {
  /** Rows as ReadingBatch has them; goes back when it is read. */
  readonly buffer: ArrayBuffer;
  readonly rows: number;
  /** Slots that are free from now on: their runs are over. */
  readonly ended: readonly number[];
  readonly began: readonly NewRun[];
  readonly calls: readonly CallTotal[];
  /** At the time of posting. */
  readonly clock: ClockReading;
}

export type ToWorker =
  | { readonly kind: 'post'; readonly post: Post }
  | { readonly kind: 'ask'; readonly id: number; readonly question: HistoryQuestion }
  | { readonly kind: 'close' };

/** As the file stands. */
export interface KeeperStatus {
  readonly state: 'on' | 'paused';
  /** Why it is paused; null: it is not. */
  readonly reason: string | null;
  /** Rows of readings that are in the file. */
  readonly written: number;
  /** Rows of readings that are lost: they waited too long. */
  readonly dropped: number;
  /** Of the file and its log. */
  readonly bytes: number;
}

export type Answer =
  | { readonly kind: 'document'; readonly document: HistoryDocument }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** It cannot be read at the moment. */
  | { readonly kind: 'unavailable'; readonly reason: string };

export type FromWorker =
  | { readonly kind: 'buffer'; readonly buffer: ArrayBuffer }
  | { readonly kind: 'status'; readonly status: KeeperStatus }
  | { readonly kind: 'note'; readonly note: Note }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'closed' };
