/** What a person needs next, printed once by a daemon in the foreground. */

import type { Config } from '../config/config.ts';
import { formatListen } from '../config/listen.ts';
import { GovernorError } from '../lib/core/errors.ts';
import type { HostReport } from '../lib/os/backend.ts';
import { resolveLocations } from './cli/locations.ts';
import { tokenPath } from './token.ts';

export interface BannerInput {
  readonly address: { readonly host: string; readonly port: number };
  readonly stateDir: string;
  readonly config: Config;
  readonly report: HostReport;
  readonly json: boolean;
}

export function banner({ address, stateDir, config, report, json }: BannerInput): string {
  const url = `http://${formatListen(address)}`;
  const token = tokenPath(stateDir);
  if (json)
    return `${JSON.stringify({ url, token, stateDir, backend: report.backend, tools: config.tools.map(({ name }) => name) })}\n`;
  const held = report.capabilities.map(({ resource, enforcement }) => `${resource} ${enforcement}`).join(', ');
  const command = process.env['GOVERNOR_COMMAND'] ?? 'governor';
  const option = isFoundByItself(stateDir) ? '' : ` --state-dir ${shellWord(stateDir)}`;
  return `
Governor is up at ${url}
  token        ${token}
  containment  ${report.backend} (${held})
  MCP          ${url}/mcp (every tool), ${url}/mcp/NAME, or over stdio: ${command} connect NAME${option}
  tools        ${config.tools.length === 0 ? 'none yet' : config.tools.map(({ name }) => name).join(', ')}

Try, in another terminal:
  ${command} ls${option}
  ${command} usage${option}
  curl -H "Authorization: Bearer $(cat ${shellWord(token)})" ${url}/v1/usage

Ctrl-C stops every tool and leaves nothing behind.

`;
}

/** A command without options, with this environment, comes here too. */
function isFoundByItself(stateDir: string): boolean {
  try {
    const facts = { env: process.env, cwd: process.cwd(), platform: process.platform };
    return resolveLocations({ config: null, stateDir: null, listen: null }, facts).stateDir === stateDir;
  } catch (error) {
    // state_dir: without an option there is no place for the state at all.
    if (error instanceof GovernorError) return false;
    throw error;
  }
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
