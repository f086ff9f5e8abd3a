/** /v1/tools/{name}/login and logout: OAuth at servers elsewhere. */

import { z } from 'zod';
import type { ApiDependencies } from '../dependencies.ts';
import { loginAnswerBody, loginBody, nameParams, noQuery } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import { time } from '../schemas/atoms.ts';
import * as schemas from '../schemas/tool.ts';
import { known } from './tools.ts';

const ERRORS = ['invalid_name', 'unknown_tool', 'illegal_state', 'sign_in_failed'] as const;

export function signInRoutes({ governor, signIns }: ApiDependencies): readonly Route[] {
  return [
    route({
      method: 'POST',
      path: '/v1/tools/{name}/login',
      access: 'control',
      summary: 'Begin a sign-in at the server of a tool; a later one takes its place',
      params: nameParams,
      query: noQuery,
      body: loginBody,
      answer: z.object({
        authorizationUrl: z.string().describe('to be opened in a browser'),
        expiresAt: time.describe('the answer has to be given before'),
      }),
      errors: ERRORS,
      handle: ({ params, body }) => known(governor, params.name, (name) => signIns.begin(name, body.redirectUri)),
    }),
    route({
      method: 'POST',
      path: '/v1/tools/{name}/login/answer',
      access: 'control',
      summary: 'Finish it with what the browser was sent back with; once',
      params: nameParams,
      query: noQuery,
      body: loginAnswerBody,
      answer: schemas.tool,
      errors: [...ERRORS, 'state_dir'],
      handle: ({ params, body, by }) => known(governor, params.name, (name) => signIns.finish(name, body.answer, by)),
    }),
    route({
      method: 'POST',
      path: '/v1/tools/{name}/logout',
      access: 'control',
      summary: 'Stop what runs with a sign-in, drop it and take its tokens back',
      params: nameParams,
      query: noQuery,
      body: z.strictObject({}),
      bodyOptional: true,
      answer: z.object({
        tool: schemas.tool,
        tokens: z
          .enum(['revoked', 'not_offered', 'failed', 'not_signed_in'])
          .describe('failed, not_offered: they are dropped here, and may be good at the server until they expire'),
      }),
      errors: ERRORS,
      handle: ({ params, by }) =>
        known(governor, params.name, async (name) => {
          const tokens = await signIns.logout(name, by);
          return { tool: governor.tool(name), tokens };
        }),
    }),
  ];
}
