/** What is kept of a failure. */

import { z } from 'zod';
import type { PostMortem } from '../../../lib/supervisor/post-mortem-view.ts';
import { component, viewOf } from '../view-schema.ts';
import { backend, count, resource, time } from './atoms.ts';
import { end, endReason } from './end.ts';
import { recovery } from './recovery.ts';
import { limit, resourceUsage } from './tool.ts';

const processSnapshot = z.object({
  pid: z.number().int(),
  ppid: z.number().int(),
  name: z.string().describe('of the command; never its arguments'),
  state: z.string(),
  memoryBytes: z.number().nullable(),
  cpuTimeMs: z.number(),
  fileHandles: z.number().nullable(),
  sockets: z.number().nullable(),
  threads: count,
});

const snapshot = viewOf<PostMortem['snapshot']>()(
  z.object({
    at: time,
    tookMs: z.number(),
    usage: z.array(resourceUsage).describe('as last sampled'),
    processes: z.array(processSnapshot).nullable().describe('null: `omitted` says why; so for files and sockets'),
    files: z.record(z.string(), z.number()).nullable().describe('open file descriptors by kind'),
    sockets: z.record(z.string(), z.number()).nullable().describe('open sockets by kind and state'),
    omitted: z.array(z.object({ what: z.enum(['processes', 'files', 'sockets']), why: z.string() })),
  }),
);

const decision = viewOf<PostMortem['decisions'][number]>()(
  z.object({
    at: time,
    kind: z.enum(['enter', 'repeat', 'leave']),
    resource,
    from: z.string(),
    to: z.string(),
    cause: z.string().nullable(),
    usage: z.number(),
    limit: z.number(),
    ratio: z.number(),
    call: z.string().exactOptional(),
  }),
);

export const postMortem = component<PostMortem>(
  'PostMortem',
  'What a run was like when it failed, and what came of it. No secrets: commands and lines are masked.',
)(
  z.object({
    version: z.literal(1),
    id: z.string().describe('that of the run'),
    tool: z.string(),
    at: time,
    startedAt: time,
    livedMs: z.number(),
    mode: z.enum(['direct', 'managed']),
    context: z.string().nullable(),
    backend,
    command: z.array(z.string()),
    class: z.string(),
    end,
    snapshot,
    limits: z.array(limit),
    decisions: z.array(decision).describe('the last 32 at most, oldest first'),
    logs: z.array(z.string()).describe('the last lines of its stderr'),
    recovery,
  }),
);

export interface PostMortemSummary {
  readonly id: string;
  readonly tool: string;
  readonly at: string;
  readonly livedMs: number;
  readonly reason: PostMortem['end']['reason'];
  readonly message: string;
  readonly recovery: string;
}

export const postMortemSummary = component<PostMortemSummary>(
  'PostMortemSummary',
  'A failure of which a post-mortem is kept.',
)(
  z.object({
    id: z.string().describe('that of the run'),
    tool: z.string(),
    at: time,
    livedMs: z.number(),
    reason: endReason,
    message: z.string(),
    recovery: z.string().describe('the strategy that was in force then'),
  }),
);
