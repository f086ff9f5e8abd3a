/** What more than one document is made of. */

import { z } from 'zod';
import { STAGES } from '../../../lib/core/ladder.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import type { Reading } from '../../../lib/core/usage.ts';
import { BACKEND_IDS } from '../../../lib/os/backend.ts';
import { component } from '../view-schema.ts';

export const resource = z.enum(RESOURCES);
export const unit = z.enum(['bytes', 'percent', 'count', 'ms']).describe('percent: of one core');
export const stage = z.enum(STAGES);
export const quality = z.enum(['cgroup', 'exact', 'pss', 'rss-sum', 'estimate']);
export const enforcement = z.enum(['kernel', 'polled', 'observed', 'none']);
export const toolState = z.enum([
  'registered',
  'activating',
  'active',
  'deactivating',
  'recovering',
  'failed',
  'unregistering',
]);
export const limitSource = z.object({
  from: z.enum(['api', 'adaptive', 'flag', 'environment', 'file', 'class', 'built-in']),
  detail: z.string(),
});
export const time = z.string().describe('ISO 8601');
export const count = z.number().int().min(0);

export const reading = component<Reading>(
  'Reading',
  'A measured value, or why there is none; never a false zero.',
)(
  z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('measured'),
      value: z.number(),
      quality,
      atMs: z.number(),
      inodes: count.exactOptional(),
      isBeingFound: z
        .boolean()
        .exactOptional()
        .describe('temp_storage: not counted to its end yet, it rises while more is found'),
    }),
    z.object({ kind: z.literal('unsupported'), reason: z.string() }),
    z.object({ kind: z.literal('gone') }),
  ]),
);

export const backend = z.enum(BACKEND_IDS as [(typeof BACKEND_IDS)[number]]);
