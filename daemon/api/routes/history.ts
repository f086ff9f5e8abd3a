/** /v1/tools/{name}/history: what a tool has used, also one that is gone. */

import { z } from 'zod';
import { parseDuration } from '../../../config/units.ts';
import { GovernorError } from '../../../lib/core/errors.ts';
import { parseToolName } from '../../../lib/core/names.ts';
import { isResource, RESOURCES } from '../../../lib/core/resource.ts';
import type { Resource } from '../../../lib/core/resource.ts';
import type { HistoryDocument } from '../../../lib/observe/history/query.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { nameParams } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import { history as historySchema } from '../schemas/history.ts';
import { known } from './tools.ts';

const DAY_MS = 86_400_000;
/** Any that can be written; what is too long for the history is refused with what would be right. */
const ANY_DURATION = { min: 1, max: 36_500 * DAY_MS };
const TIME = z.iso.datetime({ offset: true });

const when = (description: string) =>
  z
    .string()
    .refine((raw) => instantOf(raw, 0) !== null, {
      error: 'expected a time such as 2026-01-31T12:00:00Z, or a duration back from now such as 6h',
    })
    .describe(description)
    .exactOptional();

const historyQuery = z.strictObject({
  resource: z
    .string()
    .refine((raw) => raw.split(',').every(isResource), {
      error: `expected one or more, with commas, of: ${RESOURCES.join(', ')}`,
    })
    .describe('Only these, with commas between them; default: all')
    .exactOptional(),
  run: z.string().min(1).describe('Only this run; default: all together').exactOptional(),
  from: when('ISO 8601, or a duration back from now; default: ten minutes before `to`'),
  to: when('Before this; default: now'),
  step: z
    .string()
    .refine((raw) => stepOf(raw) !== null, { error: 'expected whole seconds of at least one, such as 10s or 5m' })
    .describe('Of the answer; default: such that there are some hundred')
    .exactOptional(),
});

export function historyRoutes({ governor, history }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/tools/{name}/history',
      access: 'read',
      summary: 'What a tool has used over time, and what its calls came to; also of a tool that is gone',
      params: nameParams,
      query: historyQuery,
      answer: historySchema,
      errors: ['invalid_name', 'unknown_tool', 'unknown_run', 'invalid_request', 'no_history'],
      async handle({ params, query }) {
        const name = parseToolName(params.name);
        if (!name.ok) throw new GovernorError('invalid_name', name.error);
        const nowMs = Date.now();
        const seconds = (raw: string | undefined): number | null =>
          raw === undefined ? null : Math.floor((instantOf(raw, nowMs) ?? 0) / 1000);
        const question = {
          tool: name.value,
          run: query.run ?? null,
          resources: resourcesOf(query.resource),
          fromS: seconds(query.from),
          toS: seconds(query.to),
          stepS: query.step === undefined ? null : stepOf(query.step),
        };
        try {
          return await history.read(question);
        } catch (error) {
          if (!(error instanceof GovernorError) || error.code !== 'unknown_tool') throw error;
          return known(governor, name.value, (known) => withoutHistory(governor.tool(known).name, query.run, error));
        }
      },
    }),
  ];
}

/** A tool that has not been measured yet is no mistake of whoever asks; its runs that nobody knows are. */
function withoutHistory(tool: string, run: string | undefined, error: GovernorError): HistoryDocument {
  if (run !== undefined)
    throw new GovernorError('unknown_run', `nothing is kept of a run ${run} of ${tool}`, { cause: error });
  const now = new Date().toISOString();
  const none = { at: [], runs: [], resources: [], totals: { calls: [], contexts: [] } };
  return { tool, run: null, from: now, to: now, stepMs: 1000, ...none };
}

/** In the order of the list, each once. */
function resourcesOf(raw: string | undefined): readonly Resource[] {
  const asked = new Set(raw?.split(',') ?? RESOURCES);
  return RESOURCES.filter((resource) => asked.has(resource));
}

/** @returns milliseconds since the Unix epoch; null: neither a time nor a duration */
function instantOf(raw: string, nowMs: number): number | null {
  if (TIME.safeParse(raw).success) return Date.parse(raw);
  const back = parseDuration(raw, ANY_DURATION);
  return back.ok ? nowMs - back.value : null;
}

/** @returns seconds; null: not whole ones */
function stepOf(raw: string): number | null {
  const step = parseDuration(raw, ANY_DURATION);
  return step.ok && step.value % 1000 === 0 ? step.value / 1000 : null;
}
