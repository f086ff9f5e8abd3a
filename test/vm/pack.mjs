// Copies what the product and its compiled tests need at run time into a job directory: build output, fixtures, production
// dependencies and the part of tap that a test file run as a plain Node program loads (13 MB instead of 142).
// usage: node pack.mjs DESTINATION BUILD [PACKAGE…]   from the project's directory; PACKAGE: further packages to take along
// Whatever BUILD is called here, it is `dist` there: that is where the command `governor` looks for its program.

import { cpSync, existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, extname, join, relative, sep } from 'node:path';

/** Parts of tap that only its command-line runner and its compiler plugin use. */
const RUNNER_ONLY = new Set([
  '@tapjs/run',
  '@isaacs/ts-node-temp-fork-for-pr-2009',
  '@typescript/native-preview',
  'tshy',
  'typescript',
]);
const NEVER_LOADED = new Set(['.map', '.md', '.markdown', '.ts', '.mts', '.cts', '.html', '.png', '.svg', '.flow']);

const root = realpathSync('.');
const [destination, build, ...extraPackages] = process.argv.slice(2);
if (destination === undefined || build === undefined) {
  process.stderr.write('usage: node pack.mjs DESTINATION BUILD [PACKAGE…]\n');
  process.exit(2);
}

const isNoSource = (path) => !['.ts', '.map'].includes(extname(path)) && basename(path) !== '.tsbuildinfo';
copy(build, 'dist', isNoSource);
for (const entry of ['package.json', 'limits.yaml', 'config', 'daemon', 'test/fixtures'])
  copy(entry, entry, isNoSource);
const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const wanted = [...Object.keys({ ...own.dependencies, ...own.optionalDependencies }), 'tap', ...extraPackages];
for (const directory of closure(wanted)) {
  const inside = relative(root, directory);
  copy(inside, inside, (path) => {
    if (relative(directory, path).split(sep).includes('node_modules')) return false;
    return !NEVER_LOADED.has(extname(path));
  });
}

function copy(from, to, filter) {
  cpSync(join(root, from), join(destination, to), { recursive: true, verbatimSymlinks: true, filter });
}

/** The directories of the packages and of all that they depend on, as Node would resolve them from where they lie. */
function closure(names) {
  const found = new Set();
  const queue = names.map((name) => ({ name, from: root, optional: extraPackages.includes(name) === false }));
  for (const { name, from, optional } of queue) {
    const directory = resolve(name, from);
    if (directory === null) {
      if (optional) continue;
      throw new Error(`package ${name} is not installed`);
    }
    if (found.has(directory)) continue;
    found.add(directory);
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const needs = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies };
    for (const need of Object.keys(needs)) {
      if (!RUNNER_ONLY.has(need)) queue.push({ name: need, from: directory, optional: true });
    }
  }
  return found;
}

function resolve(name, from) {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (directory === root || directory === dirname(directory)) return null;
  }
}
