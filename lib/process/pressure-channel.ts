/**
 * Tells a tool that it is under pressure, in the form that systemd defined for it (docs/MEMORY_PRESSURE.md of systemd):
 * MEMORY_PRESSURE_WATCH names a unix socket; whoever connects gets readable bytes whenever there is pressure. The bytes
 * are one JSON line a notice, which a reader that only knows systemd's protocol drops, as that protocol asks it to.
 */

import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { GovernorError } from '../core/errors.ts';

export interface PressureChannel {
  readonly variables: Readonly<Record<string, string>>;
  /** @returns how many listeners there are */
  notify(message: string): number;
  close(): void;
}

/** More listeners than a tool has processes that care; the rest is turned away. */
const LISTENERS_MAX = 32;
/** A listener that does not read is dropped. */
const UNREAD_MAX_BYTES = 64 * 1024;
/** unix(7), and sys/un.h of macOS. Of a longer path Node listens at the first bytes, where nobody looks. */
const PATH_MAX_BYTES = process.platform === 'linux' ? 107 : 103;

/** @param path of the socket, at most 107 bytes */
export async function openPressureChannel(path: string): Promise<PressureChannel> {
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) {
    throw new GovernorError('launch_failed', `the socket path ${path} is longer than ${PATH_MAX_BYTES} bytes`);
  }
  const listeners = new Set<Socket>();
  const server = createServer((socket) => {
    if (listeners.size >= LISTENERS_MAX) return void socket.destroy();
    listeners.add(socket);
    socket.resume();
    socket.on('close', () => listeners.delete(socket));
    socket.on('error', () => listeners.delete(socket));
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
    variables: { MEMORY_PRESSURE_WATCH: path, GOVERNOR_PRESSURE: path },
    notify(message) {
      for (const listener of listeners) {
        if (listener.writableLength > UNREAD_MAX_BYTES) listener.destroy();
        else listener.write(`${message}\n`);
      }
      return listeners.size;
    },
    close() {
      for (const listener of listeners) listener.destroy();
      server.close();
      rmSync(path, { force: true });
    },
  };
}
