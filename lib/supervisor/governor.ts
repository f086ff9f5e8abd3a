/** The supervisor as its callers see it: REST, CLI bridge, metrics. The only seam between daemon/ and lib/supervisor. */

import type { FileView, ProcessView, SocketView } from '../os/inspector.ts';
import type { HostReport } from '../os/backend.ts';
import type { BudgetView, ContextView, EventView, RunView, ToolView, UsageView } from './views.ts';

/** A tool as a caller defines it (REST body, limits.yaml entry, `run` flags); already validated by the one schema. */
export interface ToolDefinition {
  readonly name: string;
  /** The program; of a remote tool its URL. */
  readonly command: string;
  readonly args: readonly string[];
  /** A server elsewhere, over Streamable HTTP: no process of ours. Values of headers may be secret: never shown. */
  readonly remote?: {
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly signIn?: SignInSettings;
  };
  /** Values may be secret: never shown. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | null;
  readonly class: string;
  readonly limits: import('../core/limits.ts').ResolvedLimits;
  readonly ladder: import('../core/limits.ts').LadderSettings;
  readonly recovery: RecoverySettings;
  /** Of a run that was started degraded: `limits` and `class` are then what it was given. */
  readonly degraded?: { readonly callsAtOnce: number | null };
  readonly graceMs: number;
  readonly readyTimeoutMs: number;
  /** `mcp`: ready when the handshake and the list of tools succeeded; `none`: ready when started. */
  readonly readiness: 'mcp' | 'none';
  /** Who shares a process of it: all clients, those of one context, or none: a process for each request. */
  readonly sharing: 'shared' | 'context' | 'call';
  /** A process that nobody had anything open with for so long is put to sleep; null: never. */
  readonly idleTimeoutMs: number | null;
  /** How often an idle process is asked whether it still answers; null: never. */
  readonly healthCheckMs: number | null;
  /** Of one process: how many calls wait where they are held back, and how long each. */
  readonly calls: { readonly queue: number; readonly waitMs: number };
  /** What of its answers is kept beside what its server allows by itself; absent: only that. `off`: nothing at all. */
  readonly cache?: CacheRules | 'off';
  /** When growth is a leak, and what follows from it. */
  readonly leaks: import('../core/leak.ts').LeakSettings & { readonly action: LeakAction };
  readonly dryRun: boolean;
  /** Start with the daemon (entries of the file). */
  readonly autostart: boolean;
  readonly origin: 'file' | 'api' | 'run';
}

/** `recycle_when_idle`: ended when nothing is open with it; its next demand starts another. */
export type LeakAction = 'notify' | 'recycle_when_idle';

export interface RecoverySettings {
  readonly strategy: import('../core/recovery-strategy.ts').Strategy;
  /** Failures that are forgiven within the window. */
  readonly budget: number;
  readonly windowMs: number;
  /** A recovery has succeeded when the run has answered and stayed up for so long. */
  readonly stableForMs: number;
  /** So long without a failure, and nothing is degraded or replaced any more. */
  readonly returnAfterMs: number;
  /** A strategy that keeps failing is replaced by the next one. */
  readonly fallback: boolean;
  /** Null: there is nothing to give less of. */
  readonly degraded: import('../core/degraded.ts').DegradedTo | null;
}

/** How Governor signs in at a server elsewhere, by OAuth. Secrets are never shown. */
export type SignInSettings =
  /** A person does, once. */
  | {
      readonly kind: 'browser';
      /** Null: Governor registers itself. */
      readonly clientId: string | null;
      readonly clientSecret: string | null;
      /** The only authorization server that may be spoken with; null: whichever the server names. */
      readonly issuer: string | null;
      /** Empty: what the server asks for. */
      readonly scopes: readonly string[];
    }
  | {
      readonly kind: 'client_credentials';
      readonly clientId: string;
      readonly key: { readonly secret: string } | { readonly file: string };
      readonly issuer: string;
      readonly scopes: readonly string[];
    };
/** What a user wants kept of a server's answers. */
export interface CacheRules {
  /** What no pattern and no hint of the server gives a time, reads and lists alike; null: it is not kept. */
  readonly ttlMs: number | null;
  /** Of what is read, in their order: the first that matches the URI holds. */
  readonly patterns: readonly CachePattern[];
}

export interface CachePattern {
  /** A URI template (RFC 6570). */
  readonly uri: string;
  /** 0: not kept. Null: for the default time. */
  readonly ttlMs: number | null;
  /** Null: whom the server says. */
  readonly scope: 'public' | 'caller' | null;
}

/** New limits for a live tool; `null` lifts the limit. Units of the resource. */
export type LimitPatch = Readonly<Partial<Record<import('../core/resource.ts').Resource, number | null>>>;

export interface ReloadOutcome {
  readonly changed: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** What takes effect only later, in words. */
  readonly notes: readonly string[];
}

/** Every method throws GovernorError for what a caller did wrong. */
export interface Governor {
  tools(): readonly ToolView[];
  tool(name: string): ToolView;
  run(id: string): RunView;
  /** Live runs, then ended ones, newest first; at most 20 ended ones are kept. Also of a tool that is gone, for a while. */
  runs(name: string): readonly RunView[];
  /** The same of all tools; of those that are gone, the newest 100. */
  allRuns(): readonly RunView[];
  register(definition: ToolDefinition): Promise<ToolView>;
  unregister(name: string): Promise<void>;
  activate(name: string, options: { readonly context: string | null }): Promise<RunView>;
  /** All runs, or the one named. Resolves when the stop is proven or `unproven`. */
  deactivate(name: string, runId?: string): Promise<ToolView>;
  restart(name: string, runId?: string): Promise<ToolView>;
  /** Sweeps leftovers of ended runs of the tool; resets an open breaker. */
  cleanup(name: string): Promise<ToolView>;
  setLimits(name: string, patch: LimitPatch, by: string): Promise<ToolView>;
  usage(): readonly UsageView[];
  usageOf(name: string): UsageView;
  processes(name: string): readonly (ProcessView & { readonly run: string })[];
  sockets(name: string): readonly (SocketView & { readonly run: string })[];
  files(name: string): readonly (FileView & { readonly run: string })[];
  logs(name: string, lines: number): readonly string[];
  contexts(): readonly ContextView[];
  endContext(id: string): Promise<void>;
  /** Those with limits that have runs: the host's first, and always where it has limits. */
  budgets(): readonly BudgetView[];
  /** Puts a live run into another context, or (null) into none; what it holds for the old one is cleaned up. */
  moveRun(id: string, context: string | null, by: string): Promise<RunView>;
  host(): HostReport;
  reload(): Promise<ReloadOutcome>;
  /** Events after `lastId` that are still kept, then live ones. Returns a disposer. */
  subscribe(lastId: number | null, onEvent: (event: EventView) => void): () => void;
}
