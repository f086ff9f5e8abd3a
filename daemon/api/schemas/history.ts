/** What a tool has used. */

import { z } from 'zod';
import type { HistoryDocument } from '../../../lib/observe/history/query.ts';
import { component } from '../view-schema.ts';
import { count, resource, time, unit } from './atoms.ts';

const column = z.array(z.number().nullable());
const sums = {
  calls: count,
  failures: count,
  durationMs: z.number().nonnegative(),
  maxMs: z.number().nonnegative().describe('the longest call'),
  cpuTimeMs: z.number().nonnegative(),
  sharedCpuTimeMs: z
    .number()
    .nonnegative()
    .describe('of cpuTimeMs: split evenly among calls that were open in one process at once'),
  unmeasured: count.describe('calls whose CPU time could not be read'),
  lastAt: time,
};

export const history = component<HistoryDocument>(
  'History',
  'What a tool has used, in steps of time. null is a gap or a reading that could not be taken, never a zero.',
)(
  z.object({
    tool: z.string(),
    run: z.string().nullable().describe('null: all its runs together'),
    from: time,
    to: time.describe('excluded'),
    stepMs: count.describe('larger than what was asked for where nothing finer is kept for so long'),
    at: z.array(time).describe('when each step begins; the columns have a value for each'),
    runs: z.array(count).describe('runs that were watched within the step; 0: a gap'),
    resources: z.array(
      z.object({
        resource,
        unit,
        mean: column.describe('over time; of several runs their sum, of runtime the longest'),
        min: column.describe('of several runs at once: the sum of the lowest of each'),
        max: column.describe('of several runs at once: the sum of the highest of each'),
      }),
    ),
    totals: z
      .object({
        calls: z.array(
          z.object({
            method: z.string().describe('empty: all that are not told apart any more'),
            name: z.string().describe('of the tool or prompt; empty: none'),
            ...sums,
          }),
        ),
        contexts: z.array(
          z.object({ context: z.string().describe('empty: all that are not told apart any more'), ...sums }),
        ),
      })
      .describe('of calls, since they are kept, whatever the range'),
  }),
);
