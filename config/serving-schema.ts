/** What any tool may be given whose conversation the daemon holds, wherever its server runs. */

import { z } from 'zod';
import { STRATEGIES } from '../lib/core/recovery-strategy.ts';
import { ToolCacheSchema } from './cache-schema.ts';
import type { LeakAction } from '../lib/supervisor/governor.ts';
import { budget, closed, count, duration, durationOrNone, text } from './fields.ts';

const DEGRADED = closed({
  class: text({
    maxLength: 64,
    description: 'A smaller class: of each resource the run gets the less of what it says and what the tool has.',
  }).optional(),
  calls_at_once: count(
    { description: 'How many calls one process works on at once; the others wait, as `calls` says.' },
    { min: 1, max: 10_000 },
  ).optional(),
});

const LEAK_ACTIONS = ['notify', 'recycle_when_idle'] as const satisfies readonly LeakAction[];

export const RECOVERY = closed({
  strategy: z.enum(STRATEGIES).optional().meta({ description: 'After a failure or a cleanup. Default restart.' }),
  budget: budget({
    description: 'How many failures in what time, before the tool is held back. Default 5/10m.',
  }).optional(),
  stable_for: duration(
    { description: 'A recovery has succeeded when the tool has answered and stayed up for so long. Default 1m.' },
    { min: 100, max: 86_400_000 },
  ).optional(),
  degraded: DEGRADED.optional().meta({ description: 'What the tool is given while it is degraded.' }),
  return_after: duration(
    {
      description:
        'So long without a failure, and the tool is back at all that it has and at its own strategy. Default 10m.',
    },
    { min: 100, max: 24 * 86_400_000 },
  ).optional(),
  fallback: z
    .enum(['auto', 'none'])
    .optional()
    .meta({ description: 'auto (default): a strategy that keeps failing is replaced by the next one. none: never.' }),
});

export type RecoveryFields = z.infer<typeof RECOVERY>;

export const SHARING_SHAPE = {
  sharing: z.enum(['shared', 'context', 'call']).optional().meta({
    description:
      'Who shares a process: all clients (shared), those of one context (default), or none: a process for each request (call).',
  }),
  idle_timeout: durationOrNone(
    { description: 'A process that nobody had anything open with for so long is put to sleep. Default 10m.' },
    { min: 100, max: 7 * 86_400_000 },
  ).optional(),
  health_check: durationOrNone(
    { description: 'How often an idle process is asked whether it still answers. Default 30s.' },
    { min: 100, max: 3_600_000 },
  ).optional(),
  cache: ToolCacheSchema.optional(),
};

/** Of a tool, a class, or the daemon. */
export const CALLS = closed({
  queue: count(
    { description: 'How many calls may wait for a process that is held back; the next is refused. Default 100.' },
    { min: 1, max: 10_000 },
  ).optional(),
  wait: duration(
    { description: 'How long each of them may wait, before it is refused. Default 30s.' },
    { min: 100, max: 3_600_000 },
  ).optional(),
});

/** Of a tool, or the daemon. */
export const LEAKS = closed({
  action: z.enum(LEAK_ACTIONS).optional().meta({
    description:
      'What follows from a suspected leak. notify (default): event, metric, audit. recycle_when_idle: and the process is ended when nothing is open with it.',
  }),
  warm_up: duration(
    { description: 'How long after its start nothing is judged. Default 5m.' },
    { min: 1_000, max: 7 * 86_400_000 },
  ).optional(),
  window: duration(
    { description: 'What is judged: growth has to go on for so long. Default 30m.' },
    { min: 10_000, max: 7 * 86_400_000 },
  ).optional(),
});

export type LeaksFields = z.infer<typeof LEAKS>;
export type CallsFields = z.infer<typeof CALLS>;

export const READY_TIMEOUT = duration(
  { description: 'How long the start may take. Default 30s.' },
  { min: 100, max: 3_600_000 },
);
export const AUTOSTART = z.boolean().optional().meta({ description: 'Start with the daemon. Default true.' });

export const SERVING_SHAPE = {
  recovery: RECOVERY.optional(),
  ready_timeout: READY_TIMEOUT.optional(),
  ...SHARING_SHAPE,
  autostart: AUTOSTART,
};
