/** What is not under /v1: probes, metrics, the OpenAPI document, and a few plain pages. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { ApiDependencies } from '../dependencies.ts';
import { docsPage, errorsPage, landingPage } from '../html.ts';
import { fileParams } from '../requests.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';

const HTML = 'text/html; charset=utf-8';
const METRICS = 'text/plain; version=0.0.4; charset=utf-8';
/** Of a document, since browsers save `text/markdown` instead of showing it. */
const PLAIN = 'text/plain; charset=utf-8';
const DOCUMENT = /^[A-Za-z0-9][A-Za-z0-9_-]*\.md$/;

export interface PageSources {
  readonly routes: () => readonly Route[];
  readonly openapi: () => Promise<object>;
}

export function pageRoutes(dependencies: ApiDependencies, sources: PageSources): readonly Route[] {
  const { version, ready, metricsText, docsDirectory } = dependencies;
  return [
    route({
      method: 'GET',
      path: '/healthz',
      access: 'open',
      summary: 'Answers while the daemon lives',
      answer: z.object({ status: z.literal('ok') }),
      handle: () => ({ status: 'ok' as const }),
    }),
    route({
      method: 'GET',
      path: '/readyz',
      access: 'open',
      summary: 'Whether the daemon can take work: 200 or 503',
      statuses: [200, 503],
      answer: z.object({ ready: z.boolean(), detail: z.string() }),
      handle({ reply }) {
        const state = ready();
        if (!state.ready) void reply.code(503);
        return { ready: state.ready, detail: state.detail };
      },
    }),
    route({
      method: 'GET',
      path: '/metrics',
      access: 'metrics',
      summary: 'Prometheus text exposition',
      mediaType: METRICS,
      answer: z.string(),
      handle: () => metricsText(),
    }),
    route({
      method: 'GET',
      path: '/openapi.json',
      access: 'open',
      summary: 'This API as OpenAPI 3.1',
      answer: z.looseObject({ openapi: z.string() }),
      handle: async () => (await sources.openapi()) as { openapi: string },
    }),
    route({
      method: 'GET',
      path: '/',
      access: 'open',
      summary: 'What is served here',
      mediaType: HTML,
      answer: z.string(),
      handle: () => landingPage(version, sources.routes()),
    }),
    route({
      method: 'GET',
      path: '/docs',
      access: 'open',
      summary: 'The documentation that came with this daemon',
      mediaType: HTML,
      answer: z.string(),
      handle: async () => docsPage(await documents(docsDirectory)),
    }),
    route({
      method: 'GET',
      path: '/docs/errors',
      access: 'open',
      summary: 'Every error code; the `type` of a problem points here',
      mediaType: HTML,
      answer: z.string(),
      handle: () => errorsPage(),
    }),
    route({
      method: 'GET',
      path: '/docs/{file}',
      access: 'open',
      summary: 'One document, as Markdown',
      params: fileParams,
      mediaType: PLAIN,
      answer: z.string(),
      errors: ['not_found'],
      async handle({ params, reply }) {
        if (params.file === '') return reply.redirect('/docs', 308);
        const names = DOCUMENT.test(params.file) ? await documents(docsDirectory) : [];
        if (!names.includes(params.file))
          throw new GovernorError(
            'not_found',
            `There is no document ${JSON.stringify(params.file.slice(0, 100))}; /docs lists them`,
          );
        return reply.type(PLAIN).send(await readFile(join(docsDirectory, params.file), 'utf8'));
      },
    }),
  ];
}

async function documents(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter((name) => DOCUMENT.test(name)).sort();
  } catch (error) {
    // ENOENT: installed without documents.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
