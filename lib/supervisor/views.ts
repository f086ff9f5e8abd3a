/** The documents that people and programs see of the supervisor. JSON; times are ISO 8601 strings, durations ms. */

import type { CleanupReport, EndReason } from '../core/audit-record.ts';
export type { EventView } from '../core/event.ts';
import type { Stage } from '../core/ladder.ts';
import type { GrowthByCall } from '../core/leak-calls.ts';
import type { LeakResource } from '../core/leak-test.ts';
import type { Provenance } from '../core/limits.ts';
import type { Proposal } from '../core/recommend.ts';
import type { Resource, Unit } from '../core/resource.ts';
import type { ToolState } from '../core/tool-state.ts';
import type { Quality } from '../core/usage.ts';
import type { BackendId, Enforcement } from '../os/backend.ts';
import type { LeakAction } from './governor.ts';

export interface ResourceUsageView {
  readonly resource: Resource;
  readonly unit: Unit;
  /** null where the reading is unsupported or gone; `unsupported` then says why. */
  readonly usage: number | null;
  readonly limit: number | null;
  readonly ratio: number | null;
  readonly stage: Stage;
  readonly quality: Quality | 'unsupported' | 'gone';
  readonly enforcement: Enforcement;
  /** When the kernel was read; null when it never was. */
  readonly at: string | null;
  readonly unsupported?: string;
  /** temp_storage only. */
  readonly inodes?: number;
}

export interface LimitView {
  readonly resource: Resource;
  readonly unit: Unit;
  readonly limit: number | null;
  readonly inodes?: number;
  /** temp_storage only; absent: on disk. */
  readonly backing?: 'tmpfs';
  /** runtime of calls only, as written. */
  readonly renew?: 'progress' | 'none';
  /** runtime of calls only, as written: milliseconds that a call may take in all. */
  readonly cap?: number;
  /** It follows usage within these; `stopped`: no more, because somebody has set it by hand, until another is written. */
  readonly adaptive?: { readonly min: number; readonly max: number; readonly stopped?: string };
  readonly thresholds: Readonly<Record<'warning' | 'throttled' | 'cleanup' | 'emergency', number>> | null;
  readonly actions: Readonly<Record<'warning' | 'throttled' | 'cleanup' | 'emergency', readonly string[]>> | null;
  readonly source: { readonly from: Provenance; readonly detail: string } | null;
  readonly reason?: string;
  readonly enforcement: Enforcement;
  readonly note?: string;
}

export type RunState = 'starting' | 'running' | 'stopping' | 'ended' | 'unproven';

export interface RunView {
  readonly id: string;
  readonly tool: string;
  readonly state: RunState;
  readonly mode: 'direct' | 'managed';
  readonly context: string | null;
  readonly pid: number | null;
  readonly backend: BackendId;
  /** False for `docker run …` and the like: the process that matters runs elsewhere. */
  readonly governed: boolean;
  readonly notGovernedReason?: string;
  /** That it has registered to be closed at its end, and still holds. */
  readonly handles: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly end: EndView | null;
  readonly stage: Stage;
  readonly tempDir: string;
  readonly cwd: string;
  /** Arguments with secrets masked. */
  readonly command: readonly string[];
  readonly detached: boolean;
  readonly limits: readonly LimitView[];
}

export interface EndView {
  readonly reason: EndReason;
  /** One line for people: `memory 412 MiB is over 150 % of its limit 256 MiB`. */
  readonly message: string;
  readonly resource?: Resource;
  /** `unknown` unless the kernel told it. */
  readonly exit: { readonly code: number } | { readonly signal: string } | 'unknown';
  readonly cleanup: CleanupReport | null;
}

/** Where a verdict on leaks stands. Durations in ms. */
export interface LeakPointView {
  /** Between two samples of a calm process. */
  readonly cadenceMs: number;
  readonly warmUpMs: number;
  readonly windowMs: number;
  /** Growth in one window that is found: an amount, or a share of the floor where that is more. */
  readonly leastRise: readonly {
    readonly resource: LeakResource;
    readonly unit: Unit;
    readonly amount: number;
    readonly share: number;
  }[];
  /** What lies outside it. */
  readonly outside: readonly string[];
}

export interface LeakSuspicionView {
  readonly run: string;
  readonly resource: LeakResource;
  readonly unit: Unit;
  readonly since: string;
  /** Floor of usage at the beginning and the end of what was judged. */
  readonly from: number;
  readonly to: number;
  /** Growth in one window. */
  readonly rise: number;
  readonly byCall: readonly GrowthByCall[];
  readonly summary: string;
  readonly suggestion: string;
  /** Its run has ended, or it was cleared. */
  readonly endedAt: string | null;
}

/** Where usage of a run is heading: its floor over what there is of two windows. Rates an hour, with 95 % intervals. */
export interface TrendView {
  readonly run: string;
  readonly resource: LeakResource;
  readonly unit: Unit;
  readonly perHour: number;
  readonly lowPerHour: number;
  readonly highPerHour: number;
  /** 0…1, that it rises at all. */
  readonly confidence: number;
  /** Until the limit of the run is reached, ms; null: it has none, or usage does not rise. `latest` null: perhaps never. */
  readonly limitIn: { readonly expected: number; readonly earliest: number; readonly latest: number | null } | null;
}

export interface LeakView {
  readonly action: LeakAction;
  readonly point: LeakPointView;
  readonly suspected: readonly LeakSuspicionView[];
  /** The latest that is none any more. */
  readonly last: LeakSuspicionView | null;
  /** Of one tool, where that is asked for; absent in lists. */
  readonly trends?: readonly TrendView[];
}

/** Of a tool with `auth`. */
export interface SignInView {
  readonly how: 'browser' | 'client_credentials';
  /** `by_itself`: no person is needed. `needed`: nothing is started until somebody has signed in; `message` says how. */
  readonly state: 'by_itself' | 'signed_in' | 'needed';
  readonly message: string | null;
  /** The authorization server that its tokens are of; null: there are none. */
  readonly issuer: string | null;
  readonly signedInAt: string | null;
}

export interface RecoveryView {
  /** In force now. */
  readonly strategy: string;
  /** Failures in a row. */
  readonly attempts: number;
  readonly nextAttemptAt: string | null;
  /** The strategy of its definition. */
  readonly written: string;
  /** Since when and why another is in force; null: it is not. */
  readonly replaced: { readonly since: string; readonly why: string } | null;
  /** What its runs get less of; null: nothing. */
  readonly degraded: {
    readonly since: string;
    readonly why: string;
    readonly class: string | null;
    readonly callsAtOnce: number | null;
  } | null;
  /** A run after a failure is up, and not yet for long enough. */
  readonly onTrial: boolean;
  /** Why nothing but a person starts it any more, or not before `until`; null: it may be started. */
  readonly failure: { readonly reason: string; readonly until: string | null } | null;
  /** Over all of its life, also under earlier daemons. `rate`: share that succeeded; null: none was tried. */
  readonly rates: readonly {
    readonly strategy: string;
    readonly succeeded: number;
    readonly failed: number;
    readonly gaveUp: number;
    readonly rate: number | null;
  }[];
}

export interface ToolView {
  readonly name: string;
  readonly state: ToolState;
  readonly stage: Stage;
  readonly origin: 'file' | 'api' | 'run';
  readonly managed: boolean;
  readonly command: readonly string[];
  readonly class: string;
  readonly runs: readonly RunView[];
  readonly limits: readonly LimitView[];
  readonly lastEnd: EndView | null;
  /** Managed tools: what the handshake told. */
  readonly server: {
    readonly name: string;
    readonly version: string;
    readonly protocol: string;
    readonly tools: readonly string[];
  } | null;
  readonly recovery: RecoveryView;
  readonly signIn?: SignInView;
  readonly leaks: LeakView;
}

/** Limits that would fit what the tool has used. */
export interface RecommendationView {
  readonly tool: string;
  readonly at: string;
  /** How long the tool was observed in all, over all daemons. */
  readonly observedMs: number;
  readonly proposals: readonly Proposal[];
  /** To paste into limits.yaml; null: nothing is proposed. */
  readonly yaml: string | null;
  /** Why nothing can be known. */
  readonly note?: string;
}

export interface UsageView {
  readonly tool: string;
  readonly state: ToolState;
  readonly at: string;
  readonly resources: readonly ResourceUsageView[];
  readonly runs: readonly {
    readonly run: string;
    readonly at: string;
    readonly resources: readonly ResourceUsageView[];
  }[];
}

export interface BudgetResourceView extends Omit<ResourceUsageView, 'inodes'> {
  readonly source: LimitView['source'];
  readonly reason?: string;
}

/** Limits that several runs share, and what these use together. */
export interface BudgetView {
  readonly scope: 'host' | 'context';
  /** null: of the host. */
  readonly context: string | null;
  readonly stage: Stage;
  /** Runs that count. */
  readonly runs: number;
  /** All but runtime, which each run has for itself. */
  readonly resources: readonly BudgetResourceView[];
  /** Why the kernel does not hold them together, where it could. */
  readonly note?: string;
}

export interface ContextView {
  readonly id: string;
  /** null: it has no run. */
  readonly budget: BudgetView | null;
  readonly runs: readonly { readonly tool: string; readonly run: string }[];
}
