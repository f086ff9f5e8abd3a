/** What the API answers with, field by field: validates every answer, and is the source of the OpenAPI components. */

import { z } from 'zod';
import type { CleanupReport, CleanupStep } from '../../lib/core/audit-record.ts';
import { ERRORS } from '../../lib/core/errors.ts';
import type { ErrorCode } from '../../lib/core/errors.ts';
import { STAGES } from '../../lib/core/ladder.ts';
import { RESOURCES } from '../../lib/core/resource.ts';
import type { Reading } from '../../lib/core/usage.ts';
import { BACKEND_IDS } from '../../lib/os/backend.ts';
import type { FileView, HostReport, ProcessView, SocketView } from '../../lib/os/backend.ts';
import type { ReloadOutcome } from '../../lib/supervisor/governor.ts';
import type {
  ContextView,
  EndView,
  LimitView,
  ResourceUsageView,
  RunView,
  ToolView,
  UsageView,
} from '../../lib/supervisor/views.ts';
import type { AuditEntryView, AuditVerification } from './dependencies.ts';
import type { ProblemDocument } from './problems.ts';
import { component, viewOf } from './view-schema.ts';

const resource = z.enum(RESOURCES);
const unit = z.enum(['bytes', 'percent', 'count', 'ms']).describe('percent: of one core');
const stage = z.enum(STAGES);
const quality = z.enum(['cgroup', 'exact', 'pss', 'rss-sum', 'estimate']);
const enforcement = z.enum(['kernel', 'polled', 'observed', 'none']);
const toolState = z.enum(['registered', 'activating', 'active', 'deactivating', 'recovering', 'failed', 'unregistering']);
const time = z.string().describe('ISO 8601');
const count = z.number().int().min(0);

export const reading = component<Reading>('Reading', 'A measured value, or why there is none; never a false zero.')(
  z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('measured'), value: z.number(), quality, atMs: z.number(), inodes: count.exactOptional() }),
    z.object({ kind: z.literal('unsupported'), reason: z.string() }),
    z.object({ kind: z.literal('gone') }),
  ]),
);

export const resourceUsage = component<ResourceUsageView>('ResourceUsage', 'One resource of a tool or a run.')(
  z.object({
    resource,
    unit,
    usage: z.number().nullable().describe('null where it could not be read; `unsupported` then says why'),
    limit: z.number().nullable(),
    ratio: z.number().nullable().describe('usage / limit'),
    stage,
    quality: z.enum(['cgroup', 'exact', 'pss', 'rss-sum', 'estimate', 'unsupported', 'gone']),
    enforcement,
    at: time.nullable(),
    unsupported: z.string().exactOptional(),
    inodes: count.exactOptional(),
  }),
);

function byStage<Value extends z.ZodType>(value: Value) {
  return z.object({ warning: value, throttled: value, cleanup: value, emergency: value });
}

export const limit = component<LimitView>('Limit', 'A limit with its origin, and how it is held on this host.')(
  z.object({
    resource,
    unit,
    limit: z.number().nullable().describe('null: no limit'),
    inodes: count.exactOptional(),
    thresholds: byStage(z.number()).nullable().describe('as ratio of the limit'),
    actions: byStage(z.array(z.string())).nullable(),
    source: z.object({ from: z.enum(['api', 'flag', 'environment', 'file', 'class', 'built-in']), detail: z.string() }).nullable(),
    reason: z.string().exactOptional(),
    enforcement,
    note: z.string().exactOptional(),
  }),
);

const cleanupStep = viewOf<CleanupStep>()(
  z.object({
    label: z.string(),
    outcome: z.enum(['ok', 'failed', 'timed_out', 'skipped']),
    durationMs: z.number(),
    detail: z.string().exactOptional(),
  }),
);

export const cleanupReport = component<CleanupReport>('CleanupReport', 'What a cleanup held, reclaimed and left.')(
  z.object({
    proven: z.boolean().describe('false: not proven that everything ended'),
    held: z.record(z.string(), z.number()),
    reclaimed: z.record(z.string(), z.number()),
    left: z.record(z.string(), z.number()),
    steps: z.array(cleanupStep),
    durationMs: z.number().describe('grace excluded'),
    graceMs: z.number(),
  }),
);

export const end = component<EndView>('End', 'Why and how a run ended.')(
  z.object({
    reason: z.enum([
      'exited',
      'client_died',
      'requested',
      'limit',
      'oom_kill',
      'shutdown',
      'launch_failed',
      'not_ready',
      'daemon_crash',
      'unregistered',
      'context_ended',
      'restart',
    ]),
    message: z.string(),
    resource: resource.exactOptional(),
    exit: z.union([z.object({ code: z.number().int() }), z.object({ signal: z.string() }), z.literal('unknown')]),
    cleanup: cleanupReport.nullable(),
  }),
);

export const run = component<RunView>('Run', 'One life of one process tree of a tool.')(
  z.object({
    id: z.string(),
    tool: z.string(),
    state: z.enum(['starting', 'running', 'stopping', 'ended', 'unproven']),
    mode: z.enum(['direct', 'managed']),
    context: z.string().nullable(),
    pid: z.number().int().nullable(),
    backend: z.enum(BACKEND_IDS as [(typeof BACKEND_IDS)[number]]),
    governed: z.boolean(),
    notGovernedReason: z.string().exactOptional(),
    startedAt: time,
    endedAt: time.nullable(),
    end: end.nullable(),
    stage,
    tempDir: z.string(),
    cwd: z.string(),
    command: z.array(z.string()).describe('secrets masked'),
    detached: z.boolean(),
    limits: z.array(limit),
  }),
);

export const tool = component<ToolView>('Tool', 'A named thing to run, with its limits and runs.')(
  z.object({
    name: z.string(),
    state: toolState,
    stage,
    origin: z.enum(['file', 'api', 'run']),
    managed: z.boolean(),
    command: z.array(z.string()).describe('secrets masked'),
    class: z.string(),
    runs: z.array(run),
    limits: z.array(limit),
    lastEnd: end.nullable(),
    server: z
      .object({ name: z.string(), version: z.string(), protocol: z.string(), tools: z.array(z.string()) })
      .nullable()
      .describe('what the MCP handshake told'),
    recovery: z.object({ strategy: z.string(), attempts: count, nextAttemptAt: time.nullable() }),
  }),
);

export const usage = component<UsageView>('Usage', 'Usage of a tool: the sum over its runs, the ratio their maximum.')(
  z.object({
    tool: z.string(),
    state: toolState,
    at: time,
    resources: z.array(resourceUsage),
    runs: z.array(z.object({ run: z.string(), at: time, resources: z.array(resourceUsage) })),
  }),
);

export const processOfRun = component<ProcessView & { readonly run: string }>('Process', 'One process of a run.')(
  z.object({
    run: z.string(),
    pid: z.number().int(),
    ppid: z.number().int(),
    startTicks: z.number().describe('clock ticks since boot'),
    name: z.string(),
    state: z.string(),
    memory: reading,
    cpuTimeMs: z.number(),
    fileHandles: reading,
    sockets: reading,
    threads: count,
  }),
);

export const socketOfRun = component<SocketView & { readonly run: string }>('Socket', 'One socket that a run holds open.')(
  z.object({
    run: z.string(),
    pid: z.number().int(),
    fd: z.number().int(),
    inode: z.number(),
    kind: z.string(),
    state: z.string().nullable().describe('TCP state, RFC 9293'),
    local: z.string().nullable(),
    remote: z.string().nullable(),
  }),
);

export const fileOfRun = component<FileView & { readonly run: string }>('OpenFile', 'One open file descriptor of a run.')(
  z.object({
    run: z.string(),
    pid: z.number().int(),
    fd: z.number().int(),
    kind: z.string(),
    target: z.string(),
    deleted: z.boolean(),
  }),
);

export const context = component<ContextView>('Context', 'Who runs are in use for.')(
  z.object({ id: z.string(), runs: z.array(z.object({ tool: z.string(), run: z.string() })) }),
);

export const host = component<HostReport & { readonly version: string }>('Host', 'What this host can measure and enforce.')(
  z.object({
    version: z.string().describe('of Governor'),
    backend: z.enum(BACKEND_IDS as [(typeof BACKEND_IDS)[number]]),
    probes: z.array(
      z.object({ backend: z.enum(BACKEND_IDS as [(typeof BACKEND_IDS)[number]]), usable: z.boolean(), reason: z.string() }),
    ),
    capabilities: z.array(
      z.object({
        resource,
        measuredBy: z.string(),
        enforcement,
        enforcedBy: z.string(),
        toGetMore: z.string().exactOptional(),
      }),
    ),
    kernel: z.string(),
    bootId: z.string(),
    native: z.object({ available: z.boolean(), detail: z.string() }),
  }),
);

export const reloadOutcome = component<ReloadOutcome>('Reload', 'What a reload of limits.yaml changed.')(
  z.object({
    changed: z.array(z.string()),
    added: z.array(z.string()),
    removed: z.array(z.string()),
    notes: z.array(z.string()),
  }),
);

export const auditEntry: z.ZodType<AuditEntryView> = z
  .looseObject({ seq: count, at: time, kind: z.string() })
  .meta({ id: 'AuditEntry', description: 'One line of the audit log; further fields by kind.' });

export const auditVerification = component<AuditVerification>('AuditVerification', 'Whether the chain of the audit log holds.')(
  z.object({
    ok: z.boolean(),
    entries: count,
    findings: z.array(
      z.object({ file: z.string(), line: z.number().int().nullable(), kind: z.string(), message: z.string() }),
    ),
  }),
);

export const problem = component<ProblemDocument>('Problem', 'RFC 9457 problem details; `code` is stable.')(
  z.object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode]),
    problems: z.array(
      z.object({
        message: z.string(),
        hint: z.string().exactOptional(),
        pointer: z.string().exactOptional(),
        file: z.string().exactOptional(),
        line: z.number().int().exactOptional(),
        column: z.number().int().exactOptional(),
      }),
    ),
    data: z.record(z.string(), z.unknown()).exactOptional(),
  }),
);
