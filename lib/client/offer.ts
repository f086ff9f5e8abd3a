/** Where this process hears from Governor, or of pressure from another service manager; or why it does not. */

import { statSync } from 'node:fs';
import type { Stats } from 'node:fs';

export type Offer =
  /** Governor: pressure of every resource, and handles. */
  | { readonly kind: 'governor'; readonly path: string }
  /** systemd's protocol (docs/MEMORY_PRESSURE.md of systemd): memory only. `write` is to be said first. */
  | { readonly kind: 'watch'; readonly path: string; readonly node: 'socket' | 'fifo'; readonly write: Buffer | null }
  | { readonly kind: 'none'; readonly reason: string };

export function offerOf(environment: Readonly<Record<string, string | undefined>>): Offer {
  const socket = environment['GOVERNOR_SOCKET'] ?? '';
  if (socket !== '') return { kind: 'governor', path: socket };
  const path = environment['MEMORY_PRESSURE_WATCH'] ?? '';
  if (path === '') return none('this process was not started by Governor: GOVERNOR_SOCKET is not set');
  if (path === '/dev/null') return none('pressure is switched off: MEMORY_PRESSURE_WATCH is /dev/null');
  const found = look(path);
  if (found === null) return none(`MEMORY_PRESSURE_WATCH names ${path}, which is not there`);
  if (!found.isSocket() && !found.isFIFO())
    return none(`MEMORY_PRESSURE_WATCH names ${path}: only sockets and FIFOs can be waited for in Node`);
  // What is written into a FIFO would be read here again.
  if (found.isFIFO()) return { kind: 'watch', path, node: 'fifo', write: null };
  const write = environment['MEMORY_PRESSURE_WRITE'] ?? '';
  return { kind: 'watch', path, node: 'socket', write: write === '' ? null : Buffer.from(write, 'base64') };
}

function none(reason: string): Offer {
  return { kind: 'none', reason };
}

function look(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    // Whatever is in the way: there is nothing to wait for.
    return null;
  }
}
