/** The documents against the code: links, examples, and the tables that name what is a contract. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../config/load.ts';
import { limitsJsonSchema } from '../../config/schema.ts';
import { ERRORS, formatProblem } from '../../lib/core/errors.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { fakeFront, serve } from './daemon/api/serve.ts';

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');
const docs = readdirSync(join(projectRoot, 'daemon/docs')).filter((name) => name.endsWith('.md'));
const FENCE = /^```([a-z]*)\n([\s\S]*?)^```$/gm;

t.test('every relative link leads to a file', async (t) => {
  const pages = [
    'README.md',
    'SECURITY.md',
    'lib/README.md',
    'test/README.md',
    ...docs.map((name) => `daemon/docs/${name}`),
  ];
  for (const page of pages) {
    const links = [
      ...read(page)
        .replaceAll(FENCE, '')
        .matchAll(/\]\(([^)\s#]+)/g),
    ].map(([, link = '']) => link);
    const broken = links.filter(
      (link) => !/^[a-z]+:/.test(link) && !existsSync(join(projectRoot, dirname(page), link)),
    );
    t.strictSame(broken, [], page);
  }
});

t.test('every document is reached from the README', async (t) => {
  const readme = read('README.md');
  t.strictSame(
    docs.filter((name) => !readme.includes(`(daemon/docs/${name})`)),
    [],
  );
});

t.test('limits.md, recovery.md: every yaml example is a valid file', async (t) => {
  const examples = ['limits', 'recovery'].flatMap((page) => blocks(`daemon/docs/${page}.md`, 'yaml'));
  t.not(examples.length, 0);
  for (const text of examples) {
    const host = { memoryBytes: 24 * 1024 ** 3, cores: 4 };
    const result = loadConfig({ path: '/etc/governor/limits.yaml', text, host, env: {} });
    t.strictSame(result.ok ? [] : result.error.map(formatProblem), [], text.slice(0, 60));
  }
});

t.test('limits.md: names every key of the schema', async (t) => {
  const page = read('daemon/docs/limits.md');
  const missing = [...keysOf(limitsJsonSchema())].filter((key) => !new RegExp(`\\b${key}\\b`).test(page));
  t.strictSame(missing, []);
});

t.test('metrics.md: the metrics that are pinned, with type and labels', async (t) => {
  const pinned = [...read('test/unit/observe/metrics.test.ts').matchAll(/^ +'(governor_\S+ [a-z]+ \{.*\})',$/gm)].map(
    ([, metric = '']) => metric,
  );
  t.not(pinned.length, 0, 'the pins are found');
  const documented = rows('daemon/docs/metrics.md').flatMap(([name = '', type = '', labels = '']) =>
    name.startsWith('governor_') ? [`${name} ${type} {${labels.replaceAll(', ', ',')}}`] : [],
  );
  t.strictSame(documented.sort(), pinned.sort());
  const names = new Set(pinned.map((metric) => metric.split(' ', 1)[0] ?? ''));
  const used = [...read('daemon/docs/metrics.md').matchAll(/governor_[a-z_]+/g)].map(([name]) => name);
  t.strictSame(
    used.filter((name) => !names.has(name.replace(/_bucket$/, ''))),
    [],
    'rules and queries use no others',
  );
});

t.test('rest.md: the routes that are served, each with its scope', async (t) => {
  const { api } = await serve(t, { mcp: fakeFront() });
  const { paths } = (await api.openapi()) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  };
  const served = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { security }]) => `${method.toUpperCase()} ${path} ${scopeOf(security)}`),
  );
  const documented = rows('daemon/docs/rest.md').flatMap(([method = '', path = '', scope = '']) =>
    /^(GET|POST|PATCH|DELETE)$/.test(method) ? [`${method} ${path} ${scope}`] : [],
  );
  t.strictSame(documented.sort(), served.sort());
  t.equal(documented.length, api.served.length);
});

t.test('rest.md: every error code with its status and title', async (t) => {
  const known = new Set<string>(Object.keys(ERRORS));
  t.strictSame(
    rows('daemon/docs/rest.md').flatMap(([code = '', status, title]) =>
      known.has(code) ? [[code, Number(status), title]] : [],
    ),
    Object.entries(ERRORS).map(([code, { status, title }]) => [code, status, title]),
  );
});

interface Operation {
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
}

/** As openapi.ts writes it: none is open, one that may be left out is metrics. */
function scopeOf(security: Operation['security']): string {
  if (security.length === 0) return 'open';
  return security.length > 1 ? 'metrics' : (security[0]?.['bearer']?.[0] ?? '');
}

function blocks(page: string, language: string): string[] {
  return [...read(page).matchAll(FENCE)].flatMap(([, found, text = '']) => (found === language ? [text] : []));
}

/** The cells of every table row, without the marks of code. */
function rows(page: string): string[][] {
  return read(page)
    .replaceAll(FENCE, '')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.replaceAll('`', '').trim()),
    );
}

/** The names of all properties of a JSON Schema, at any depth. */
function* keysOf(schema: unknown): Generator<string> {
  if (typeof schema !== 'object' || schema === null) return;
  for (const [name, value] of Object.entries(schema)) {
    if (name === 'properties') yield* Object.keys(value as object);
    yield* keysOf(value);
  }
}
