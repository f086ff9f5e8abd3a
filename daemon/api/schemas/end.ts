/** Why and how a run ended, and what its cleanup came to. */

import { z } from 'zod';
import type { CleanupReport, CleanupStep } from '../../../lib/core/audit-record.ts';
import type { EndView } from '../../../lib/supervisor/views.ts';
import { component, viewOf } from '../view-schema.ts';
import { resource } from './atoms.ts';

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
