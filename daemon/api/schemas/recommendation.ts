/** What is recommended for a tool. */

import { z } from 'zod';
import type { Proposal } from '../../../lib/core/recommend.ts';
import type { RecommendationView } from '../../../lib/supervisor/views.ts';
import { component } from '../view-schema.ts';
import { count, resource, time, unit } from './atoms.ts';

const proposal = component<Proposal>(
  'Proposal',
  'A limit that would fit, with its reasoning.',
)(
  z.object({
    resource,
    unit,
    limit: z.number().nullable().describe('that holds now; null: none'),
    proposed: z.number().nullable().describe('null: there is too little to go by, `reason` says what'),
    inodes: count.exactOptional(),
    percentile: z.number().describe('0.99: of what `usage` is the percentile'),
    usage: z.number().nullable().describe('at this percentile; null: nothing was measured'),
    highest: z.number().nullable().describe('the highest that is remembered'),
    margin: z.number().describe('added to `usage`, as a share of it'),
    samples: count.describe('readings; of the runtime of whole runs: runs'),
    ended: count.describe('runs that were ended for lack of it'),
    observedMs: z.number(),
    confidence: z.enum(['none', 'low', 'medium', 'high']).describe('by observed time: medium from 2 h, high from 24 h'),
    reason: z.string(),
  }),
);

export const recommendation = component<RecommendationView>(
  'Recommendation',
  'Limits that would fit what the tool has used.',
)(
  z.object({
    tool: z.string(),
    at: time,
    observedMs: z.number().describe('how long the tool was observed in all, over all daemons'),
    proposals: z.array(proposal),
    yaml: z.string().nullable().describe('to paste into limits.yaml'),
    note: z.string().exactOptional().describe('why nothing can be known'),
  }),
);
