/** /v1 beside the tools: runs, contexts, usage of all, audit, events, host, and the daemon itself. */

import { z } from 'zod';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { ApiDependencies } from '../dependencies.ts';
import type { EventStreams } from '../event-stream.ts';
import { auditQuery, contextBody, EVENT_ID, eventsQuery, idParams, noQuery, runsQuery, stopBody } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import * as schemas from '../schemas/daemon.ts';
import type { ContextDocument } from '../schemas/daemon.ts';
import { run, usage } from '../schemas/tool.ts';

export function daemonRoutes(dependencies: ApiDependencies, streams: EventStreams): readonly Route[] {
  const { governor, version, stop } = dependencies;
  return [
    route({
      method: 'GET',
      path: '/v1/runs',
      access: 'read',
      summary: 'Live runs, then ended ones, newest first; also of tools that are gone',
      query: runsQuery,
      answer: z.object({ runs: z.array(run) }),
      errors: [],
      handle: ({ query }) => ({
        runs: governor
          .allRuns()
          .filter((view) => query.state === undefined || (query.state === 'ended') === (view.state === 'ended'))
          .slice(0, query.limit),
      }),
    }),
    route({
      method: 'GET',
      path: '/v1/runs/{id}',
      access: 'read',
      summary: 'One run',
      params: idParams,
      query: noQuery,
      answer: run,
      errors: ['unknown_run'],
      handle: ({ params }) => governor.run(params.id),
    }),
    route({
      method: 'POST',
      path: '/v1/runs/{id}/context',
      access: 'control',
      summary:
        'Put a run into another context; what it registered for the old one is closed, what it shares is carried over',
      params: idParams,
      query: noQuery,
      body: contextBody,
      answer: run,
      errors: ['unknown_run', 'illegal_state'],
      handle: ({ params, body, by }) => governor.moveRun(params.id, body.context, by),
    }),
    route({
      method: 'GET',
      path: '/v1/usage',
      access: 'read',
      summary: 'Usage of every tool, and of limits that runs share',
      query: noQuery,
      answer: z.object({
        usage: z.array(usage),
        budgets: z.array(schemas.budget).describe('that of all tools together first, then contexts that have limits'),
      }),
      handle: () => ({ usage: [...governor.usage()], budgets: [...governor.budgets()] }),
    }),
    route({
      method: 'GET',
      path: '/v1/contexts',
      access: 'read',
      summary: 'Every context with its runs, its limits, what it uses, its calls and what they cost',
      query: noQuery,
      answer: z.object({ contexts: z.array(schemas.context) }),
      handle: () => ({ contexts: contextsOf(dependencies) }),
    }),
    route({
      method: 'DELETE',
      path: '/v1/contexts/{id}',
      access: 'control',
      summary:
        'End a context: its runs are stopped, its open calls answered with an error, what is held for it given up',
      params: idParams,
      query: noQuery,
      answer: null,
      errors: ['unknown_context'],
      handle: ({ params }) => endContext(dependencies, params.id),
    }),
    ...auditRoutes(dependencies),
    route({
      method: 'GET',
      path: '/v1/events',
      access: 'read',
      summary: 'Server-sent events: kept ones after the given id, the comment `live`, then live ones',
      query: eventsQuery,
      mediaType: 'text/event-stream',
      answer: z.string(),
      errors: ['too_many_streams', 'shutting_down'],
      handle({ query, request, reply }) {
        if (request.method === 'HEAD') return '';
        streams.open(reply, lastEventId(request.headers['last-event-id']) ?? query.last_event_id ?? null);
        return reply;
      },
    }),
    route({
      method: 'GET',
      path: '/v1/host',
      access: 'read',
      summary: 'How each resource is measured and enforced on this host, and how to get more',
      query: noQuery,
      answer: schemas.host,
      handle: () => ({ ...governor.host(), version, history: dependencies.history.status() }),
    }),
    route({
      method: 'POST',
      path: '/v1/config/reload',
      access: 'control',
      summary: 'Read limits.yaml again; an invalid file changes nothing',
      query: noQuery,
      body: z.strictObject({}),
      bodyOptional: true,
      answer: schemas.reloadOutcome,
      errors: ['invalid_config'],
      handle: () => governor.reload(),
    }),
    route({
      method: 'POST',
      path: '/v1/daemon/stop',
      access: 'control',
      summary: 'Stop the daemon; direct runs live on unless stopTools is true',
      query: noQuery,
      body: stopBody,
      bodyOptional: true,
      statuses: [202],
      answer: z.object({ stopping: z.literal(true), stopTools: z.boolean() }),
      handle({ body, reply }) {
        reply.raw.once('close', () => stop({ stopTools: body.stopTools }));
        return { stopping: true as const, stopTools: body.stopTools };
      },
    }),
  ];
}

/** Those that have runs, then those that only have called. */
function contextsOf({ governor, contextCalls }: ApiDependencies): ContextDocument[] {
  const calls = new Map(contextCalls().map(({ context, ...counts }) => [context, counts]));
  const withRuns = governor
    .contexts()
    .map(({ id, budget, runs }) => ({ id, budget, runs, calls: calls.get(id) ?? null }));
  const known = new Set(withRuns.map(({ id }) => id));
  const others = [...calls]
    .filter(([id]) => !known.has(id))
    .map(([id, counts]) => ({ id, budget: null, runs: [], calls: counts }));
  return [...withRuns, ...others];
}

/** Also of one without a run: servers elsewhere, shared ones, or all asleep. */
async function endContext({ governor, endClients }: ApiDependencies, id: string): Promise<void> {
  const isKnown = await endClients(id);
  // Those runs that were its alone have ended with its clients.
  if (isKnown && !governor.contexts().some((context) => context.id === id)) return;
  await governor.endContext(id);
}

function auditRoutes({ audit }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/audit',
      access: 'read',
      summary: 'Entries of the audit log, oldest first; `next` is the `after` of the next page',
      query: auditQuery,
      answer: z.object({ entries: z.array(schemas.auditEntry), next: z.number().int().nullable() }),
      async handle({ query }) {
        const { entries, more } = await audit.list(query);
        return { entries: [...entries], next: more ? (entries.at(-1)?.seq ?? null) : null };
      },
    }),
    route({
      method: 'GET',
      path: '/v1/audit/verify',
      access: 'read',
      summary: 'Whether the chain of the audit log holds',
      query: noQuery,
      answer: schemas.auditVerification,
      handle: () => audit.verify(),
    }),
  ];
}

function lastEventId(header: string | string[] | undefined): string | null {
  if (header === undefined || header === '') return null;
  const id = String(header);
  if (EVENT_ID.test(id)) return id;
  throw new GovernorError('invalid_request', 'Last-Event-ID is not an id of this stream, such as 17 or d3k9x.17');
}
