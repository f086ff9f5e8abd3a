/** How a tool is recovered. */

import { z } from 'zod';
import type { RecoveryView } from '../../../lib/supervisor/views.ts';
import { component } from '../view-schema.ts';
import { count, time } from './atoms.ts';

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
