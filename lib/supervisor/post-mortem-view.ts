/** What is kept of a failure, for whoever wants to know afterwards what the tool was like. JSON; no secrets. */

import type { Resource } from '../core/resource.ts';
import type { BackendId } from '../os/backend.ts';
import type { EndView, LimitView, RecoveryView, ResourceUsageView } from './views.ts';

/** Taken right before the cleanup began. */
export interface FailureSnapshot {
  readonly at: string;
  /** How long it took to look. */
  readonly tookMs: number;
  /** As last sampled. */
  readonly usage: readonly ResourceUsageView[];
  /** Null: see `omitted`. So below. */
  readonly processes: readonly ProcessSnapshot[] | null;
  /** Open file descriptors by kind: file, pipe, socket, anon, device, directory; `deleted` are files without a name. */
  readonly files: Readonly<Record<string, number>> | null;
  /** Open sockets by kind and state, such as `tcp ESTABLISHED`. */
  readonly sockets: Readonly<Record<string, number>> | null;
  readonly omitted: readonly { readonly what: 'processes' | 'files' | 'sockets'; readonly why: string }[];
}

export interface ProcessSnapshot {
  readonly pid: number;
  readonly ppid: number;
  /** Of the command; never its arguments. */
  readonly name: string;
  readonly state: string;
  readonly memoryBytes: number | null;
  readonly cpuTimeMs: number;
  readonly fileHandles: number | null;
  readonly sockets: number | null;
  readonly threads: number;
}

/** One decision of the policy. */
export interface DecisionView {
  readonly at: string;
  readonly kind: 'enter' | 'repeat' | 'leave';
  readonly resource: Resource;
  readonly from: string;
  readonly to: string;
  /** Null for one that left a stage. */
  readonly cause: string | null;
  /** In the unit of the resource. */
  readonly usage: number;
  readonly limit: number;
  readonly ratio: number;
  /** runtime of a call: which one. */
  readonly call?: string;
}

export interface PostMortem {
  readonly version: 1;
  /** That of the run: it fails once. */
  readonly id: string;
  readonly tool: string;
  /** When the run had ended. */
  readonly at: string;
  readonly startedAt: string;
  readonly livedMs: number;
  readonly mode: 'direct' | 'managed';
  readonly context: string | null;
  readonly backend: BackendId;
  /** Secrets masked. */
  readonly command: readonly string[];
  readonly class: string;
  readonly end: EndView;
  readonly snapshot: FailureSnapshot;
  readonly limits: readonly LimitView[];
  /** Oldest first. */
  readonly decisions: readonly DecisionView[];
  /** The last lines of its stderr, where that is the daemon's to read; secrets masked. */
  readonly logs: readonly string[];
  /** What was made of it. */
  readonly recovery: RecoveryView;
}
