/** The version of the package that this file was installed with. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Looks upwards, because compiled files lie at different depths in a build folder and in an installed package. */
export function governorVersion(start: string = import.meta.dirname): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file)) {
      const document = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown };
      if (document.name === 'mcp-governor' && typeof document.version === 'string') return document.version;
    }
    if (folder === dirname(folder)) throw new Error(`no package.json of mcp-governor above ${start}`);
  }
}
