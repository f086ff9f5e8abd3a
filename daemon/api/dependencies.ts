/** What the API needs of the rest of the daemon. Interfaces only, so that tests and the composition root can fill them. */

import type { Problem } from '../../lib/core/errors.ts';
import type { Result } from '../../lib/core/result.ts';
import type { CacheCleared, CacheFilter, CacheReport } from '../../lib/mcp/cache/report.ts';
import type { ContextAccount } from '../../lib/mcp/calls/account.ts';
import type { ChainKind } from '../../lib/observe/audit-chain.ts';
import type { HistoryDocument, HistoryQuestion } from '../../lib/observe/history/query.ts';
import type { McpFront } from '../../lib/mcp/front/front.ts';
import type { HistoryView } from '../history.ts';
import type { Governor, LimitPatch, ToolDefinition } from '../../lib/supervisor/governor.ts';
import type { PostMortem } from '../../lib/supervisor/post-mortem-view.ts';
import type { RecommendationView, ToolView } from '../../lib/supervisor/views.ts';

/** `read`: look. `control`: start, stop and limit what is defined. `launch`: define new commands. */
export type Scope = 'read' | 'control' | 'launch';

export const ALL_SCOPES: readonly Scope[] = ['read', 'control', 'launch'];

export interface AccessToken {
  readonly token: string;
  /** Names the token in the audit; never secret. */
  readonly label: string;
  readonly scopes: readonly Scope[];
}

export interface ApiSettings {
  readonly auth: {
    /** `none` is honoured only while the TCP listener is bound to a loopback address. */
    readonly api: 'token' | 'none';
    /** The same for MCP. Host and Origin are checked all the same. */
    readonly mcp: 'token' | 'none';
    readonly metrics: 'token' | 'none';
  };
  /** Further values of Host, `name` (any port) or `name:port`, for a proxy or a service name. */
  readonly allowedHosts?: readonly string[];
}

export interface AuditQuery {
  readonly tool?: string;
  readonly run?: string;
  readonly kind?: ChainKind;
  /** ISO 8601 with offset: from `since` on, before `until`. */
  readonly since?: string;
  readonly until?: string;
  /** At most this many entries, oldest first. */
  readonly limit: number;
  /** Only entries with a higher sequence number. */
  readonly after?: number;
}

export interface AuditEntryView {
  readonly seq: number;
  readonly at: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

export interface AuditVerification {
  readonly ok: boolean;
  /** Entries that verified. */
  readonly entries: number;
  /** What is wrong, in order: `audit-000000000001.jsonl:12: changed`. */
  readonly findings: readonly {
    readonly file: string;
    readonly line: number | null;
    readonly kind: string;
    readonly message: string;
  }[];
}

export interface AuditReader {
  list(query: AuditQuery): Promise<{ readonly entries: readonly AuditEntryView[]; readonly more: boolean }>;
  verify(): Promise<AuditVerification>;
}

export interface CacheControl {
  /** @throws GovernorError invalid_request */
  report(filter: CacheFilter): CacheReport;
  /** @param by who asked, for the audit @throws GovernorError invalid_request */
  clear(filter: CacheFilter, by: string): Promise<CacheCleared>;
}

export interface HistoryReader {
  /** @throws GovernorError unknown_tool, invalid_request, no_history */
  read(question: HistoryQuestion): Promise<HistoryDocument>;
  status(): HistoryView;
}

/** What is kept of failures. */
export interface PostMortemReader {
  /** Newest first. @param tool null: of all tools */
  list(tool: string | null, limit: number): Promise<readonly PostMortem[]>;
  read(tool: string, id: string): Promise<PostMortem | null>;
}

export interface ApiLogger {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** OAuth at servers elsewhere. All throw GovernorError unknown_tool, and illegal_state where nobody can sign in. */
export interface SignInActions {
  begin(
    tool: string,
    redirectUri: string,
  ): Promise<{
    readonly authorizationUrl: string;
    readonly expiresAt: string;
  }>;
  finish(tool: string, answer: string, by: string): Promise<ToolView>;
  logout(tool: string, by: string): Promise<'revoked' | 'not_offered' | 'failed' | 'not_signed_in'>;
}

export interface ApiDependencies {
  readonly governor: Governor;
  /** @throws GovernorError unknown_tool */
  readonly recommend: (tool: string) => Promise<RecommendationView>;
  readonly signIns: SignInActions;
  /** Also of contexts that have no run of their own, and of those that have ended, for a while. */
  readonly contextCalls: () => readonly ContextAccount[];
  /** What is open for the clients of a context ends. False: nothing is known of it but, perhaps, runs. */
  readonly endClients: (context: string) => Promise<boolean>;
  /** Asked at every request, so that a reloaded configuration applies at once. */
  readonly settings: () => ApiSettings;
  readonly tokens: () => readonly AccessToken[];
  readonly audit: AuditReader;
  readonly cache: CacheControl;
  readonly history: HistoryReader;
  readonly postMortems: PostMortemReader;
  /** The Prometheus text exposition, version 0.0.4. */
  readonly metricsText: () => Promise<string>;
  readonly ready: () => { readonly ready: boolean; readonly detail: string };
  /** Begins the shutdown of the daemon; called after the answer was sent. */
  readonly stop: (options: { readonly stopTools: boolean }) => void;
  /** A whole tool definition; pointers in problems are relative to the body. */
  readonly define: (body: unknown) => Result<ToolDefinition, readonly Problem[]>;
  /** The `limits` of a PATCH body; pointers in problems are relative to the body: `/limits/memory`. */
  readonly parseLimits: (limits: unknown) => Result<LimitPatch, readonly Problem[]>;
  /** Speaks MCP. Without it there are no MCP routes. The API closes it with itself. */
  readonly mcp?: Pick<McpFront, 'serve' | 'connect' | 'close'>;
  readonly version: string;
  /** Id of this daemon's life, as in `EventView.daemon`. */
  readonly instance: string;
  readonly logger: ApiLogger;
  /** Absolute folder of Markdown files, served under /docs. */
  readonly docsDirectory: string;
  /** Milliseconds between comments on an idle event stream. Default 15,000. */
  readonly heartbeatMs?: number;
}
