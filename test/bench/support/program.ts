/** The C programs of the benches. */

import { join } from 'node:path';
import { compileC } from '../../helpers/compile.ts';
import { projectRoot } from '../../helpers/project-root.ts';

const HEADER = join(projectRoot, 'test/fixtures/tools/shared/fixture.h');

/** @returns the path of test/bench/NAME.c, built @throws where there is no C compiler: no bench of it makes sense then */
export function program(name: string): string {
  const built = compileC(join(projectRoot, 'test/bench', `${name}.c`), [HEADER]);
  if (!built.ok) throw new Error(built.error);
  return built.value;
}
