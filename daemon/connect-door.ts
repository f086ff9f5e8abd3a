/**
 * Where a `governor connect` comes in that is a shell: the launcher carries bytes, and the daemon reads and writes its pipes itself. A Node
 * process at each client's side would hold 15 MB of its own (PSS, of 30). (The rest, and other systems: daemon/cli/commands/connect.ts, by an upgrade of HTTP.)
 */

import { parseArgs } from 'node:util';
import { GovernorError } from '../lib/core/errors.ts';
import { readLabel } from '../lib/mcp/front/caller.ts';
import type { McpFront } from '../lib/mcp/front/front.ts';
import { openClientPipes } from '../lib/process/client-pipes.ts';
import { answerDie } from '../lib/process/launcher-answer.ts';
import type { LaunchRequest } from '../lib/process/rendezvous.ts';
import type { Governor } from '../lib/supervisor/governor.ts';
import type { Log } from '../lib/supervisor/ports.ts';
import { UNIX_SOCKET } from './api/guard.ts';
import { managedTool } from './api/mcp-door.ts';

export interface ConnectDoorOptions {
  readonly governor: Pick<Governor, 'tool'>;
  readonly front: Pick<McpFront, 'connect'>;
  readonly log: Log;
}

export function createConnectDoor({ governor, front, log }: ConnectDoorOptions): (request: LaunchRequest) => void {
  return (request) => {
    try {
      const { tool, label } = wanted(request.words, governor);
      if (request.pipes === null) throw new GovernorError('internal', 'The launcher has no pipes');
      const stream = openClientPipes(request.launcher.pid, request.pipes);
      // Who may ring the doorbell may use the unix socket: both are of the state directory.
      const caller = { view: { kind: 'tool', tool }, identity: UNIX_SOCKET, local: true, label } as const;
      if (request.answer(['go'])) front.connect(stream, Buffer.alloc(0), caller);
      else stream.destroy();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log.info({ reason: message, launcher: request.launcher.pid }, 'a client was not connected');
      const isUnknown = error instanceof GovernorError && error.code === 'unknown_tool';
      request.answer(answerDie(isUnknown ? 127 : 125, message));
    }
  };
}

/** @throws GovernorError; TypeError for words that the launcher should have left to Node */
function wanted(words: readonly string[], governor: Pick<Governor, 'tool'>): { tool: string; label: string | null } {
  const { values, positionals } = parseArgs({
    args: [...words],
    options: { context: { type: 'string' }, 'state-dir': { type: 'string' } },
    allowPositionals: true,
  });
  const label = readLabel(values.context);
  if ('problem' in label) throw new GovernorError('invalid_request', label.problem);
  return { tool: managedTool(governor, positionals[0] ?? ''), label: label.label };
}
