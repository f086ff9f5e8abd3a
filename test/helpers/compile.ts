/** C fixtures and benches, built on demand and kept by the hash of their source. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { err, ok, type Result } from '../../lib/core/result.ts';
import { projectRoot } from './project-root.ts';

/**
 * The program of test/fixtures/tools/NAME.c.
 * @returns its path, or why it cannot be had (no C compiler)
 */
export function compileFixture(name: string): Result<string, string> {
  return compileC(join(projectRoot, 'test/fixtures/tools', `${name}.c`), [
    join(projectRoot, 'test/fixtures/tools/shared/fixture.h'),
  ]);
}

/**
 * @param source path of a C file
 * @param headers further files that the result depends on
 * @returns the path of the program; a C file that does not compile is a fault of ours and throws
 */
export function compileC(source: string, headers: readonly string[] = []): Result<string, string> {
  const hash = createHash('sha256');
  for (const file of [source, ...headers]) hash.update(readFileSync(file));
  const name = source.slice(source.lastIndexOf('/') + 1, -'.c'.length);
  const program = join(binaryDirectory(), `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(program)) return ok(program);
  const compiler = findCompiler();
  if (compiler === null) return err(`no C compiler for ${name}.c (install gcc)`);
  mkdirSync(dirname(program), { recursive: true });
  build(compiler, source, program);
  return ok(program);
}

/** GOVERNOR_FIXTURE_BIN is set where programs were built beforehand, as in a guest without a compiler. */
function binaryDirectory(): string {
  return process.env['GOVERNOR_FIXTURE_BIN'] ?? join(projectRoot, 'node_modules/.cache/governor-fixtures');
}

function findCompiler(): string | null {
  return ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0) ?? null;
}

/** Static where the C library allows it, so that the program also runs in a bare guest. Renamed when complete. */
function build(compiler: string, source: string, program: string): void {
  const unfinished = `${program}.${process.pid}`;
  const compile = (...linking: readonly string[]): string | null => {
    const done = spawnSync(compiler, [...linking, '-O2', '-pthread', '-o', unfinished, source], { encoding: 'utf8' });
    return done.status === 0 ? null : done.stderr;
  };
  const complaint = compile('-static') === null ? null : compile();
  if (complaint !== null) throw new Error(`${compiler} ${source}: ${complaint}`);
  renameSync(unfinished, program);
}
