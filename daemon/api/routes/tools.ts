/** /v1/tools: defining tools, starting and stopping them. */

import { z } from 'zod';
import { ToolPatchSchema } from '../../../config/limit-schema.ts';
import { ToolBodySchema } from '../../../config/schema.ts';
import { nearest } from '../../../config/suggest.ts';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { Problem } from '../../../lib/core/errors.ts';
import { parseToolName } from '../../../lib/core/names.ts';
import type { Governor } from '../../../lib/supervisor/governor.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { activateBody, nameParams, noQuery, runBody, validate } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import * as schemas from '../schemas/tool.ts';

const TOOL_ERRORS = ['invalid_name', 'unknown_tool'] as const;

export function toolRoutes({ governor, define, parseLimits }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/tools',
      access: 'read',
      summary: 'Every tool with its runs and limits',
      query: noQuery,
      answer: z.object({ tools: z.array(schemas.tool) }),
      handle: () => ({ tools: [...governor.tools()] }),
    }),
    route({
      method: 'POST',
      path: '/v1/tools',
      access: 'launch',
      summary: 'Define a tool; it is not started yet',
      query: noQuery,
      documentedBody: ToolBodySchema.meta({
        id: 'ToolDefinition',
        description: 'An entry of `tools:` in limits.yaml, with its name.',
      }),
      statuses: [201],
      answer: schemas.tool,
      errors: ['invalid_name', 'invalid_limit', 'invalid_config', 'tool_exists', 'too_many_tools', 'shutting_down'],
      async handle({ body, reply }) {
        const definition = define(body);
        if (!definition.ok) throw refused('The definition is not valid', definition.error);
        const created = await governor.register(definition.value);
        void reply.header('location', `/v1/tools/${encodeURIComponent(created.name)}`);
        return created;
      },
    }),
    route({
      method: 'GET',
      path: '/v1/tools/{name}',
      access: 'read',
      summary: 'One tool',
      params: nameParams,
      query: noQuery,
      answer: schemas.tool,
      errors: TOOL_ERRORS,
      handle: ({ params }) => known(governor, params.name, (name) => governor.tool(name)),
    }),
    route({
      method: 'PATCH',
      path: '/v1/tools/{name}',
      access: 'control',
      summary: 'Change limits; they hold for live runs at once',
      params: nameParams,
      query: noQuery,
      documentedBody: ToolPatchSchema,
      answer: schemas.tool,
      errors: [...TOOL_ERRORS, 'invalid_limit'],
      handle: ({ params, body, by }) =>
        known(governor, params.name, (name) => {
          const patch = parseLimits(limitsOf(body));
          if (!patch.ok) throw refused('The limits are not valid', patch.error);
          return governor.setLimits(name, patch.value, by);
        }),
    }),
    route({
      method: 'DELETE',
      path: '/v1/tools/{name}',
      access: 'control',
      summary: 'Stop every run of a tool and forget it; its audit stays',
      params: nameParams,
      query: noQuery,
      answer: null,
      errors: [...TOOL_ERRORS, 'illegal_state', 'tool_unproven'],
      handle: ({ params }) => known(governor, params.name, (name) => governor.unregister(name)),
    }),
    route({
      method: 'POST',
      path: '/v1/tools/{name}/activate',
      access: 'control',
      summary: 'Start a run; answers once it is ready',
      params: nameParams,
      query: noQuery,
      body: activateBody,
      bodyOptional: true,
      answer: schemas.run,
      errors: [
        ...TOOL_ERRORS,
        'illegal_state',
        'tool_unproven',
        'breaker_open',
        'command_not_found',
        'command_not_executable',
        'launch_failed',
        'sign_in_needed',
        'shutting_down',
      ],
      handle: ({ params, body }) =>
        known(governor, params.name, (name) => governor.activate(name, { context: body.context })),
    }),
    route({
      method: 'POST',
      path: '/v1/tools/{name}/deactivate',
      access: 'control',
      summary: 'Stop all runs, or one; answers when the stop is proven or `unproven`',
      params: nameParams,
      query: noQuery,
      body: runBody,
      bodyOptional: true,
      answer: schemas.tool,
      errors: [...TOOL_ERRORS, 'unknown_run', 'illegal_state'],
      handle: ({ params, body }) =>
        known(governor, params.name, (name) => governor.deactivate(name, ...only(body.run))),
    }),
    route({
      method: 'POST',
      path: '/v1/tools/{name}/restart',
      access: 'control',
      summary: 'Stop and start anew',
      params: nameParams,
      query: noQuery,
      body: runBody,
      bodyOptional: true,
      answer: schemas.tool,
      errors: [
        ...TOOL_ERRORS,
        'unknown_run',
        'illegal_state',
        'tool_unproven',
        'not_managed',
        'launch_failed',
        'sign_in_needed',
        'shutting_down',
      ],
      handle: ({ params, body }) => known(governor, params.name, (name) => governor.restart(name, ...only(body.run))),
    }),
    route({
      method: 'POST',
      path: '/v1/tools/{name}/cleanup',
      access: 'control',
      summary: 'Sweep what ended runs left, and close an open breaker',
      params: nameParams,
      query: noQuery,
      body: z.strictObject({}),
      bodyOptional: true,
      answer: schemas.tool,
      errors: [...TOOL_ERRORS, 'illegal_state'],
      handle: ({ params }) => known(governor, params.name, (name) => governor.cleanup(name)),
    }),
  ];
}

/** Checks the name first, and adds "did you mean" to a refusal of an unknown one. */
export async function known<T>(governor: Governor, raw: string, use: (name: string) => T | Promise<T>): Promise<T> {
  const name = parseToolName(raw);
  if (!name.ok) throw new GovernorError('invalid_name', name.error);
  try {
    return await use(name.value);
  } catch (error) {
    if (!(error instanceof GovernorError) || error.code !== 'unknown_tool' || error.problems.length > 0) throw error;
    const names = governor.tools().map((tool) => tool.name);
    const near = nearest(name.value, names);
    if (near === null) throw error;
    throw new GovernorError('unknown_tool', error.message, {
      cause: error,
      data: error.data,
      problems: [
        { message: `there is no tool ${JSON.stringify(name.value)}`, hint: `did you mean ${JSON.stringify(near)}?` },
      ],
    });
  }
}

function only(run: string | undefined): [] | [string] {
  return run === undefined ? [] : [run];
}

function refused(what: string, problems: readonly Problem[]): GovernorError {
  const first = problems[0]?.message;
  return new GovernorError('invalid_request', first === undefined ? what : `${what}: ${first}`, { problems });
}

function limitsOf(body: unknown): unknown {
  return (validate(z.strictObject({ limits: z.unknown().optional() }), body, 'body') as { readonly limits?: unknown })
    .limits;
}
