/**
 * The socket by which a tool hears from Governor. MEMORY_PRESSURE_WATCH names it in the form that systemd defined
 * (docs/MEMORY_PRESSURE.md of systemd): whoever connects gets readable bytes whenever there is pressure. The bytes are one
 * JSON line a notice, which a reader that only knows systemd's protocol drops, as that protocol asks it to.
 * GOVERNOR_SOCKET names the same one for those who say hello and speak core/tool-protocol.ts: they register handles too.
 */

import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { GovernorError } from '../core/errors.ts';
import type { HandlesClosed } from '../core/tool-protocol.ts';
import { MAX_NAMED_HANDLES } from '../core/tool-protocol.ts';
import { ToolConnection } from './tool-connection.ts';

export interface PressureChannel {
  readonly variables: Readonly<Record<string, string>>;
  /** Handles that are registered now. */
  readonly handles: number;
  /** @returns how many listeners there are */
  notify(message: string): number;
  /** Asks all who registered handles to close them, and waits for them. Never rejects. */
  closeHandles(request: CloseRequest): Promise<HandlesClosed>;
  close(): void;
}

export interface CloseRequest {
  readonly reason: string;
  readonly deadlineMs: number;
  /** Aborted when there is no more time to be polite. */
  readonly hurry: AbortSignal;
  /** Only those of one context: the tool goes on in another. */
  readonly keepShared?: boolean;
}

/** More listeners than a tool has processes that care; the rest is turned away. */
const LISTENERS_MAX = 32;
/** unix(7), and sys/un.h of macOS. Of a longer path Node listens at the first bytes, where nobody looks. */
const PATH_MAX_BYTES = process.platform === 'linux' ? 107 : 103;

/** @param path of the socket, at most 107 bytes */
export async function openPressureChannel(path: string): Promise<PressureChannel> {
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) {
    throw new GovernorError('launch_failed', `the socket path ${path} is longer than ${PATH_MAX_BYTES} bytes`);
  }
  const listeners = new Set<ToolConnection>();
  let requests = 0;
  const server = createServer((socket) => {
    if (listeners.size >= LISTENERS_MAX) return void socket.destroy();
    const listener = new ToolConnection(socket, () => listeners.delete(listener));
    listeners.add(listener);
    return undefined;
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  // Listening is no reason for the daemon to stay.
  server.unref();
  return {
    variables: { MEMORY_PRESSURE_WATCH: path, GOVERNOR_SOCKET: path },
    get handles() {
      return [...listeners].reduce((sum, { handles }) => sum + handles, 0);
    },
    notify(message) {
      for (const listener of listeners) listener.notify(message);
      return listeners.size;
    },
    async closeHandles(request) {
      const id = ++requests;
      // All are told; who holds nothing is not waited for.
      const asked = [...listeners].map((listener) => ({
        held: listener.handles,
        answer: listener.cleanUp(id, request),
      }));
      const holders = asked.filter(({ held }) => held > 0);
      return sumOf(await answersWithin(holders, request));
    },
    close() {
      for (const listener of listeners) listener.close();
      server.close();
      rmSync(path, { force: true });
    },
  };
}

interface Holder {
  readonly held: number;
  readonly answer: Promise<HandlesClosed | null>;
}

async function answersWithin(
  holders: readonly Holder[],
  { deadlineMs, hurry }: CloseRequest,
): Promise<HandlesClosed[]> {
  if (holders.length === 0) return [];
  let stop = (): void => undefined;
  const over = new Promise<'over'>((resolve) => {
    stop = () => resolve('over');
  });
  const timer = setTimeout(stop, deadlineMs);
  hurry.addEventListener('abort', stop, { once: true });
  if (hurry.aborted) stop();
  const answers = await Promise.all(
    holders.map(async ({ held, answer }) => {
      const closed = await Promise.race([answer, over]);
      if (closed === 'over')
        return silent(held, hurry.aborted ? 'there was no more time' : `no answer within ${deadlineMs} ms`);
      return closed ?? silent(held, 'the process ended without an answer');
    }),
  );
  clearTimeout(timer);
  hurry.removeEventListener('abort', stop);
  return answers;
}

function silent(held: number, reason: string): HandlesClosed {
  return { held, closed: 0, failed: [{ name: 'all', reason }] };
}

function sumOf(answers: readonly HandlesClosed[]): HandlesClosed {
  return {
    held: answers.reduce((sum, { held }) => sum + held, 0),
    closed: answers.reduce((sum, { held, closed }) => sum + Math.min(held, closed), 0),
    failed: answers.flatMap(({ failed }) => failed).slice(0, MAX_NAMED_HANDLES),
  };
}
