import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The project's directory, from wherever the compiled tests lie below it. */
export const projectRoot: string = nearestPackage(import.meta.dirname);

function nearestPackage(from: string): string {
  for (let directory = from; directory !== dirname(directory); directory = dirname(directory)) {
    if (existsSync(join(directory, 'package.json'))) return directory;
  }
  throw new Error(`no package.json above ${from}`);
}
