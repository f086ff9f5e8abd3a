/** Writes config/limits.schema.json, which editors check limits.yaml with. Run after a change of the schema. */

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { limitsJsonSchema } from '../config/schema.ts';

const target = resolve(process.argv[2] ?? 'config/limits.schema.json');
writeFileSync(target, `${JSON.stringify(limitsJsonSchema(), null, 2)}\n`);
process.stdout.write(`${target}\n`);
