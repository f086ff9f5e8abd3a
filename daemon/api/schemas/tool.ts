/** Tools, runs, limits and usage. */

import { z } from 'zod';
import type { CleanupReport, CleanupStep } from '../../../lib/core/audit-record.ts';
import type {
  EndView,
  LeakSuspicionView,
  LeakView,
  LimitView,
  RecoveryView,
  ResourceUsageView,
  RunView,
  SignInView,
  ToolView,
  TrendView,
  UsageView,
} from '../../../lib/supervisor/views.ts';
import { LEAK_RESOURCES } from '../../../lib/core/leak-test.ts';
import { component, viewOf } from '../view-schema.ts';
import { backend, count, enforcement, limitSource, resource, stage, time, toolState, unit } from './atoms.ts';

export const resourceUsage = component<ResourceUsageView>(
  'ResourceUsage',
  'One resource of a tool or a run.',
)(
  z.object({
    resource,
    unit,
    usage: z.number().nullable().describe('null where it could not be read; `unsupported` then says why'),
    limit: z.number().nullable(),
    ratio: z
      .number()
      .nullable()
      .describe('usage / limit; the larger of two for temp_storage (inodes) and the runtime of calls (hard cap)'),
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

export const limit = component<LimitView>(
  'Limit',
  'A limit with its origin, and how it is held on this host.',
)(
  z.object({
    resource,
    unit,
    limit: z.number().nullable().describe('null: no limit'),
    inodes: count.exactOptional(),
    backing: z.literal('tmpfs').exactOptional().describe('temp_storage in memory; absent: on disk'),
    renew: z
      .enum(['progress', 'none'])
      .exactOptional()
      .describe('runtime of calls: what begins its clock anew; absent: progress'),
    cap: z
      .number()
      .exactOptional()
      .describe('runtime of calls: milliseconds in all; absent: six times the limit, at least 10 minutes'),
    adaptive: z
      .object({ min: z.number(), max: z.number(), stopped: z.string().exactOptional() })
      .exactOptional()
      .describe('follows usage within these; `stopped`: no more, and why'),
    thresholds: byStage(z.number()).nullable().describe('as ratio of the limit'),
    actions: byStage(z.array(z.string())).nullable(),
    source: limitSource.nullable(),
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

export const cleanupReport = component<CleanupReport>(
  'CleanupReport',
  'What a cleanup held, reclaimed and left.',
)(
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

export const endReason = z.enum([
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
  'idle',
  'unhealthy',
  'recovery',
  'leak',
  'sign_in',
]);

export const end = component<EndView>(
  'End',
  'Why and how a run ended.',
)(
  z.object({
    reason: endReason,
    message: z.string(),
    resource: resource.exactOptional(),
    exit: z.union([z.object({ code: z.number().int() }), z.object({ signal: z.string() }), z.literal('unknown')]),
    cleanup: cleanupReport.nullable(),
  }),
);

export const run = component<RunView>(
  'Run',
  'One life of one process tree of a tool.',
)(
  z.object({
    id: z.string(),
    tool: z.string(),
    state: z.enum(['starting', 'running', 'stopping', 'ended', 'unproven']),
    mode: z.enum(['direct', 'managed']),
    context: z.string().nullable(),
    pid: z.number().int().nullable(),
    backend,
    governed: z.boolean(),
    notGovernedReason: z.string().exactOptional(),
    handles: z.number().int().describe('that it has registered to be closed at its end, and still holds'),
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

const signIn = component<SignInView>(
  'SignIn',
  'How Governor signs in at the server of a tool with `auth`.',
)(
  z.object({
    how: z.enum(['browser', 'client_credentials']),
    state: z
      .enum(['by_itself', 'signed_in', 'needed'])
      .describe('needed: nothing is started until somebody has signed in; `message` says how'),
    message: z.string().nullable(),
    issuer: z.string().nullable().describe('the authorization server that its tokens are of'),
    signedInAt: time.nullable(),
  }),
);

const growth = z.object({
  name: z.string().describe('of the tool or prompt, or the method'),
  perCall: z.number(),
  low: z.number(),
  high: z.number().describe('low, high: 95 % interval'),
  share: z.number().describe('of all growth in the window'),
  calls: count,
});

const suspicion = component<LeakSuspicionView>(
  'LeakSuspicion',
  'The floor of usage rises and rises.',
)(
  z.object({
    run: z.string(),
    resource: z.enum(LEAK_RESOURCES),
    unit,
    since: time,
    from: z.number().describe('floor at the beginning of what was judged'),
    to: z.number(),
    rise: z.number().describe('in one window'),
    byCall: z.array(growth).describe('calls that the growth goes with; empty where none stands out'),
    summary: z.string(),
    suggestion: z.string(),
    endedAt: time.nullable().describe('its run has ended, or it was cleared'),
  }),
);

const trend = viewOf<TrendView>()(
  z.object({
    run: z.string(),
    resource: z.enum(LEAK_RESOURCES),
    unit,
    perHour: z.number(),
    lowPerHour: z.number(),
    highPerHour: z.number().describe('low, high: 95 % interval'),
    confidence: z.number().describe('0 to 1, that it rises at all'),
    limitIn: z
      .object({ expected: z.number(), earliest: z.number(), latest: z.number().nullable() })
      .nullable()
      .describe('ms until the limit is reached; null: it has none, or usage does not rise'),
  }),
);

const leaks = component<LeakView>(
  'Leaks',
  'Whether its runs leak, where that verdict stands, and where usage is heading.',
)(
  z.object({
    action: z.enum(['notify', 'recycle_when_idle']),
    point: z.object({
      cadence: z.number().describe('ms'),
      warmUp: z.number().describe('ms'),
      window: z.number().describe('ms'),
      leastRise: z
        .array(z.object({ resource: z.enum(LEAK_RESOURCES), unit, amount: z.number(), share: z.number() }))
        .describe('growth in one window that is found: an amount, or a share of the floor where that is more'),
      outside: z.array(z.string()).describe('where a verdict is worth little, or does not come'),
    }),
    suspected: z.array(suspicion),
    last: suspicion.nullable().describe('the latest that is none any more'),
    trends: z.array(trend).exactOptional().describe('of GET /v1/tools/{name} only'),
  }),
);

export const recovery = component<RecoveryView>(
  'Recovery',
  'How a tool is recovered after a failure.',
)(
  z.object({
    strategy: z.string().describe('in force now'),
    attempts: count.describe('failures in a row'),
    nextAttemptAt: time.nullable(),
    written: z.string().describe('the strategy of its definition'),
    replaced: z
      .object({ since: time, why: z.string() })
      .nullable()
      .describe('another strategy than the written one is in force'),
    degraded: z
      .object({
        since: time,
        why: z.string(),
        class: z.string().nullable(),
        callsAtOnce: z.number().nullable(),
      })
      .nullable()
      .describe('its runs are given less'),
    onTrial: z.boolean().describe('a run after a failure is up, and not yet for `stable_for`'),
    failure: z
      .object({ reason: z.string(), until: time.nullable() })
      .nullable()
      .describe('why nothing but a person starts it any more, or not before `until`'),
    rates: z
      .array(
        z.object({
          strategy: z.string(),
          succeeded: count,
          failed: count,
          gaveUp: count,
          rate: z.number().nullable(),
        }),
      )
      .describe('of recoveries, also under earlier daemons'),
  }),
);

export const tool = component<ToolView>(
  'Tool',
  'A named thing to run, with its limits and runs.',
)(
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
    recovery,
    signIn: signIn.exactOptional(),
    leaks,
  }),
);

export const usage = component<UsageView>(
  'Usage',
  'Usage of a tool: the sum over its runs, the ratio their maximum.',
)(
  z.object({
    tool: z.string(),
    state: toolState,
    at: time,
    resources: z.array(resourceUsage),
    runs: z.array(z.object({ run: z.string(), at: time, resources: z.array(resourceUsage) })),
  }),
);
