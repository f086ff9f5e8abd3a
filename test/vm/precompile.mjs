// Builds every C fixture into $GOVERNOR_FIXTURE_BIN. usage: node precompile.mjs BUILD   from the project's directory

import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const build = process.argv[2] ?? 'dist';
const { compileFixture } = await import(pathToFileURL(resolve(build, 'test/helpers/compile.js')).href);
for (const name of readdirSync('test/fixtures/tools')) {
  if (!name.endsWith('.c')) continue;
  const result = compileFixture(name.slice(0, -2));
  if (!result.ok) process.stderr.write(`not compiled: ${name}: ${result.error}\n`);
}
