/** Tools, runs, limits and usage. */

import { z } from 'zod';
import type {
  LimitView,
  ResourceUsageView,
  RunView,
  SignInView,
  ToolView,
  UsageView,
} from '../../../lib/supervisor/views.ts';
import { component } from '../view-schema.ts';
import { backend, count, enforcement, limitSource, resource, stage, time, toolState, unit } from './atoms.ts';
import { end } from './end.ts';
import { leaks } from './leaks.ts';
import { recovery } from './recovery.ts';

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
