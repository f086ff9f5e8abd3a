/** Leaks of a tool: where a verdict stands, what is suspected, where usage is heading. */

import { z } from 'zod';
import { LEAK_RESOURCES } from '../../../lib/core/leak-test.ts';
import type { LeakSuspicionView, LeakView, TrendView } from '../../../lib/supervisor/views.ts';
import { component, viewOf } from '../view-schema.ts';
import { count, time, unit } from './atoms.ts';

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

export const leaks = component<LeakView>(
  'Leaks',
  'Whether its runs leak, where that verdict stands, and where usage is heading.',
)(
  z.object({
    action: z.enum(['notify', 'recycle_when_idle']),
    point: z.object({
      cadenceMs: z.number(),
      warmUpMs: z.number(),
      windowMs: z.number(),
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
