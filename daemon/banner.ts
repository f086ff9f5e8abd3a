/** What a person needs next, printed once by a daemon in the foreground. */

import type { Config } from '../config/config.ts';
import { formatListen } from '../config/listen.ts';
import type { HostReport } from '../lib/os/backend.ts';
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
  const option =
    process.env['GOVERNOR_STATE_DIR'] === stateDir || process.env['GOVERNOR_COMMAND'] === undefined
      ? ''
      : ` --state-dir ${stateDir}`;
  return `
Governor is up at ${url}
  token        ${token}
  containment  ${report.backend} (${held})
  tools        ${config.tools.length === 0 ? 'none yet' : config.tools.map(({ name }) => name).join(', ')}

Try, in another terminal:
  ${command} ls${option}
  ${command} usage${option}
  curl -H "Authorization: Bearer $(cat ${token})" ${url}/v1/usage

Ctrl-C stops every tool and leaves nothing behind.

`;
}
