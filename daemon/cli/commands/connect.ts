/**
 * `governor connect`: the stdio of a client becomes that of a tool which the daemon runs. Bytes pass untouched, in both directions; the
 * daemon reads them (lib/mcp/front/byte-stream.ts). Nothing else is ever written to stdout. On Linux the launcher does the same without
 * Node (daemon/bin/governor, daemon/connect-door.ts) where it can.
 */

import type { Readable, Writable } from 'node:stream';
import { GovernorError } from '../../../lib/core/errors.ts';
import { createClient, query, segment } from '../client.ts';
import type { Upgraded } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { reportError } from '../report-error.ts';
import type { Session } from '../session.ts';
import { ensureDaemon } from './ensure-daemon.ts';

const PROTOCOL = 'mcp-stdio';

/** @param context label of the context, or null for one of this connection alone */
export async function connect(session: Session, name: string, context: string | null): Promise<ExitCode> {
  const { terminal } = session;
  let upgraded: Upgraded;
  try {
    await ensureDaemon(session);
    const path = `/v1/tools/${segment(name)}/connect${query({ context })}`;
    upgraded = await createClient(session.locations()).upgrade(path, PROTOCOL);
  } catch (error) {
    reportError(error, terminal.stderr, session.json);
    return error instanceof GovernorError && error.code === 'unknown_tool' ? EXIT.notFound : EXIT.governorFailed;
  }
  const { input, output } = terminal.bytes;
  const ended = await join(upgraded, input, output, terminal.interrupted);
  // It would keep the process.
  input.destroy();
  if (ended === 'client') return EXIT.ok;
  terminal.stderr.write(`governor: the daemon ended the connection to ${JSON.stringify(name)}\n`);
  return EXIT.governorFailed;
}

/** Who ended it first. */
function join(
  { socket, head }: Upgraded,
  input: Readable,
  output: Writable,
  gone: AbortSignal,
): Promise<'client' | 'daemon'> {
  return new Promise((resolve) => {
    let by: 'client' | 'daemon' = 'daemon';
    const clientEnded = (): void => {
      by = 'client';
    };
    input.once('end', clientEnded);
    // A terminal that went, a pipe that broke: there is nobody left either.
    input.once('error', () => {
      clientEnded();
      socket.end();
    });
    const reader = (): void => {
      clientEnded();
      socket.destroy();
    };
    gone.addEventListener('abort', reader);
    // The close says it.
    socket.on('error', () => undefined);
    socket.once('close', () => {
      gone.removeEventListener('abort', reader);
      resolve(by);
    });
    if (head.length > 0) output.write(head);
    socket.pipe(output, { end: false });
    input.pipe(socket);
    if (gone.aborted) reader();
  });
}
