/**
 * Everything worth recording for good. The audit log adds sequence, times, boot id and the chain to each of these.
 * No value of an environment variable, no token and no secret argument is ever part of an entry: what is recorded of a
 * command is its masked form.
 */

import type { Stage } from './ladder.ts';
import type { LeakResource } from './leak-test.ts';
import type { Resource } from './resource.ts';
import type { Action } from './response.ts';

export type EndReason =
  | 'exited'
  | 'client_died'
  | 'requested'
  | 'limit'
  | 'oom_kill'
  | 'shutdown'
  | 'launch_failed'
  | 'not_ready'
  | 'daemon_crash'
  | 'unregistered'
  | 'context_ended'
  | 'restart'
  /** Put to sleep: nobody had anything open with it. */
  | 'idle'
  /** It did not answer its health checks. */
  | 'unhealthy'
  /** Nobody had anything open with it, and it was suspected of a leak. */
  | 'leak'
  /** Another run of its tool failed, and the strategy of its recovery cleans up more than that one. */
  | 'recovery'
  /** Its server wants a person to sign in, or somebody signed in anew. */
  | 'sign_in';

/** One finalizer of a cleanup, as it ran. */
export interface CleanupStep {
  /** `0 brakes`, `1 handles`, `2 process`, `3 memory`, `4 cpu`, `5 temp`, … */
  readonly label: string;
  readonly outcome: 'ok' | 'failed' | 'timed_out' | 'skipped';
  readonly durationMs: number;
  readonly detail?: string;
}

/** Counts by kind: processes, file_handles, sockets, temp_files, temp_bytes, memory_bytes, cgroups, handles (registered ones). */
export type Inventory = Readonly<Record<string, number>>;

export interface CleanupReport {
  readonly proven: boolean;
  readonly held: Inventory;
  readonly reclaimed: Inventory;
  readonly left: Inventory;
  readonly steps: readonly CleanupStep[];
  /** From decision to proven empty, grace excluded. */
  readonly durationMs: number;
  /** Time that the tool was given to end by itself. */
  readonly graceMs: number;
}

export type AuditRecord =
  | {
      readonly kind: 'daemon';
      readonly event: 'start' | 'stop' | 'reconcile' | 'config_reload' | 'audit_repair' | 'cache_clear';
      readonly detail: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'lifecycle';
      readonly tool: string;
      readonly run?: string;
      readonly from: string;
      readonly to: string;
      readonly event: string;
      readonly detail?: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'stage';
      readonly tool: string;
      readonly run: string;
      readonly resource: Resource;
      readonly from: Stage;
      readonly to: Stage;
      readonly usage: number;
      readonly limit: number;
      readonly ratio: number;
      readonly cause: string;
      readonly dryRun: boolean;
      /** runtime of a call: which one, such as `tools/call search`. */
      readonly call?: string;
    }
  | {
      readonly kind: 'action';
      readonly tool: string;
      readonly run: string;
      readonly resource: Resource;
      readonly stage: Stage;
      readonly action: Action;
      readonly outcome: 'done' | 'failed' | 'unsupported' | 'withdrawn' | 'dry_run';
      readonly detail?: string;
      readonly call?: string;
    }
  | {
      readonly kind: 'intent';
      readonly tool: string;
      readonly run: string;
      readonly action: 'kill' | 'terminate' | 'delete_temp' | 'remove_containment' | 'destroy_sockets';
      readonly reason: EndReason;
      readonly target: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'outcome';
      readonly tool: string;
      readonly run: string;
      readonly action: 'kill' | 'terminate' | 'delete_temp' | 'remove_containment' | 'destroy_sockets';
      readonly ok: boolean;
      readonly detail: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'cleanup';
      readonly tool: string;
      readonly run: string;
      readonly reason: EndReason;
      readonly report: CleanupReport;
    }
  | {
      readonly kind: 'limits';
      readonly tool: string;
      readonly run?: string;
      readonly resource: Resource;
      readonly before: number | null;
      readonly after: number | null;
      /** `adaptive`: Governor itself, within the bounds of the file; `reason` says why. */
      readonly by: string;
      readonly reason?: string;
      /** It was only said. */
      readonly dryRun?: true;
    }
  /** Usage far outside the tool's own history. Never acted on. */
  | {
      readonly kind: 'anomaly';
      readonly tool: string;
      readonly run: string;
      readonly resource: Resource;
      /** `peak`: it holds more than ever. `burst`: more than ever came within seconds. */
      readonly event: 'peak' | 'burst';
      /** In the unit of the resource. */
      readonly usage: number;
      /** The highest that was known of the tool before. */
      readonly before: number;
      /** From how many times that on it is said. */
      readonly factor: number;
      readonly detail: string;
    }
  /** A limit that several runs share: of a context, or of all tools (`host`). */
  | {
      readonly kind: 'budget';
      readonly event: 'stage';
      /** `host`, or `context ID`. */
      readonly budget: string;
      readonly resource: Resource;
      readonly from: Stage;
      readonly to: Stage;
      readonly usage: number;
      readonly limit: number;
      readonly ratio: number;
      readonly cause: string;
      readonly dryRun: boolean;
    }
  | {
      readonly kind: 'budget';
      readonly event: 'action';
      readonly budget: string;
      readonly resource: Resource;
      readonly stage: Stage;
      readonly action: Action;
      readonly outcome: 'done' | 'failed' | 'unsupported' | 'withdrawn' | 'dry_run';
      /** Who goes, where one does. */
      readonly tool?: string;
      readonly run?: string;
      readonly detail?: string;
    }
  | {
      readonly kind: 'budget';
      readonly event: 'limits';
      readonly budget: string;
      readonly resource: Resource;
      readonly before: number | null;
      readonly after: number | null;
      readonly by: string;
      readonly reason?: string;
    }
  | {
      readonly kind: 'recovery';
      readonly tool: string;
      readonly strategy: string;
      /**
       * `succeeded`, `failed`: whether a start after a failure held. `replaced`: the strategy kept failing, and another is in
       * force. `degraded`: the next runs get less. `restored`: nothing is replaced or degraded any more.
       */
      readonly outcome:
        | 'scheduled'
        | 'succeeded'
        | 'failed'
        | 'gave_up'
        | 'reset'
        | 'replaced'
        | 'degraded'
        | 'restored';
      readonly detail?: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'leak';
      readonly tool: string;
      readonly run: string;
      readonly resource: LeakResource;
      /** `cleared`: see `cause`. `recycled`: its end has begun, at a moment when nothing was open with it. */
      readonly event: 'suspected' | 'cleared' | 'recycled';
      readonly cause: string;
      /** The floor of usage, at the beginning and the end of what was judged; in the unit of the resource. */
      readonly from: number;
      readonly to: number;
      /** Growth in one window. */
      readonly rise: number;
      /** Where the verdict stands. */
      readonly point: { readonly cadenceMs: number; readonly warmUpMs: number; readonly windowMs: number };
      /** Calls that the growth goes with. */
      readonly byCall: readonly { readonly name: string; readonly perCall: number }[];
      readonly suggestion: string;
      /** It would have been recycled. */
      readonly dryRun: boolean;
    }
  | {
      readonly kind: 'sign_in';
      readonly tool: string;
      /**
       * `renewal_failed`: the tokens cannot be renewed, a person has to sign in again. `dropped`: the tool went or is another's
       * by now, and its tokens with it.
       */
      readonly event: 'login' | 'logout' | 'renewal_failed' | 'dropped';
      readonly detail: Readonly<Record<string, unknown>>;
    };

export type AuditKind = AuditRecord['kind'];
