/** The YAML parser, loaded when the first file is read: 1 MB of memory that a daemon without a file need not carry. */

import { createRequire } from 'node:module';

type Yaml = typeof import('yaml');

let loaded: Yaml | null = null;

export function yaml(): Yaml {
  return (loaded ??= createRequire(import.meta.url)('yaml') as Yaml);
}
