/** The reference servers from npm. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './project-root.ts';

export type NpmServer = 'everything' | 'filesystem' | 'memory';

/** Its script, for Node. */
export function server(name: NpmServer): string {
  return join(projectRoot, `node_modules/@modelcontextprotocol/server-${name}/dist/index.js`);
}

/** @returns false, or what is missing: for tap's `skip` */
export function serversMissing(...names: readonly NpmServer[]): string | false {
  return names.every((name) => existsSync(server(name))) ? false : 'needs the servers from npm (npm ci)';
}
