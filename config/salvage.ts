/** What is right in an entry that is not valid as a whole, so that all its mistakes show in one report. */

import { mapping } from './file-scope.ts';
import { ToolSchema } from './schema.ts';
import type { ToolFields } from './schema.ts';

export interface Salvaged {
  readonly fields: ToolFields;
  /** False where settings that are judged together are not all there: one of them may be what is wrong. */
  readonly isWhole: boolean;
}

/** Which of these go together is for config/tool.ts to judge. */
const JUDGED_TOGETHER = [
  'limits',
  'stages',
  'actions',
  'ladder',
  'on_starvation',
  'recovery',
  'readiness',
  'class',
  'leaks',
];

export function salvagedTool(raw: unknown): Salvaged {
  const written = mapping(raw);
  const valid: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(ToolSchema.shape)) {
    if (!Object.hasOwn(written, key)) continue;
    const parsed = schema.safeParse(written[key]);
    if (parsed.success) valid[key] = parsed.data;
  }
  const isWhole = JUDGED_TOGETHER.every((key) => Object.hasOwn(written, key) === Object.hasOwn(valid, key));
  // Beside arguments, whatever they are, a command is no whole command line.
  const args = Object.hasOwn(written, 'args') ? { args: [] } : {};
  return { fields: { command: 'missing', ...valid, ...args, env: texts(written['env']) }, isWhole };
}

/** The values that are text of a mapping such as `env` or `headers`. */
export function texts(raw: unknown): Readonly<Record<string, string>> {
  const pairs = Object.entries(mapping(raw)).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
  return Object.fromEntries(pairs);
}
