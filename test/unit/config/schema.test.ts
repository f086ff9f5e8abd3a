import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { z } from 'zod';
import { LimitPatchSchema, ToolPatchSchema } from '../../../config/limit-schema.ts';
import { RunBodySchema, ToolBodySchema, ToolSchema, limitsJsonSchema } from '../../../config/schema.ts';
import { projectRoot } from '../../helpers/project-root.ts';

t.test('the checked-in schema is the one of the code (else: node dist/scripts/write-schema.js)', async (t) => {
  const written: unknown = JSON.parse(readFileSync(join(projectRoot, 'config/limits.schema.json'), 'utf8'));
  t.same(written, JSON.parse(JSON.stringify(limitsJsonSchema())));
});

t.test('an editor is told what a name may not be', async (t) => {
  const { properties } = limitsJsonSchema() as { properties: Record<string, { propertyNames: { pattern: string } }> };
  for (const key of ['tools', 'classes']) {
    const { pattern } = properties[key]?.propertyNames ?? {};
    t.match('a tool', new RegExp(pattern ?? '$^'), key);
    t.notMatch('a/b', new RegExp(pattern ?? ''), key);
    t.notMatch('', new RegExp(pattern ?? ''), key);
  }
});

t.test('what it lets in', async (t) => {
  const keys = (schema: z.ZodObject): string[] => Object.keys(schema.shape);
  const tool = [
    'command',
    'args',
    'cwd',
    'env',
    'class',
    'limits',
    'stages',
    'actions',
    'ladder',
    'on_starvation',
    'recovery',
    'grace',
    'ready_timeout',
    'readiness',
    'sharing',
    'idle_timeout',
    'health_check',
    'cache',
    'calls',
    'leaks',
    'dry_run',
  ];
  t.same(keys(ToolSchema), [...tool, 'autostart']);
  t.same(keys(ToolBodySchema), ['name', ...tool]);
  t.same(keys(RunBodySchema), ['name', 'command', 'args', 'cwd', 'class', 'limits', 'grace', 'dry_run']);
  t.same(keys(LimitPatchSchema), ['memory', 'cpu', 'file_handles', 'sockets', 'runtime', 'temp_storage', 'tasks']);
});

t.test('every mapping with fixed keys is closed for editors too', async (t) => {
  const open: string[] = [];
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node && !('additionalProperties' in node && node.additionalProperties === false))
      open.push(path);
    for (const [key, value] of Object.entries(node)) walk(value, `${path}/${key}`);
  };
  walk(limitsJsonSchema(), '');
  t.same(open, []);
});

t.test('REST schemas can be told to OpenAPI', async (t) => {
  for (const schema of [ToolBodySchema, ToolPatchSchema]) {
    const json = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' });
    t.equal(json.type, 'object');
  }
});

t.test('the names of keys that are not enforced are nowhere in it', async (t) => {
  const text = JSON.stringify(limitsJsonSchema());
  t.ok(text.includes('"adaptive"'), 'one that is');
  for (const word of ['isolation', 'wrap']) t.notOk(text.includes(`"${word}"`), word);
});
