/** Sockets of a network namespace by inode, from /proc/PID/net/*, proc_pid_net(5). For people: a table costs milliseconds. */

import { closeSync, openSync, readSync } from 'node:fs';
import type { Pace } from '../inspector.ts';
import { isDenied, isGone } from '../kernel-file.ts';

export interface NetSocket {
  /** tcp, tcp6, udp, udp6, unix, netlink, packet, other */
  readonly kind: string;
  readonly state: string | null;
  readonly local: string | null;
  readonly remote: string | null;
}

/** Reads every table of the namespace that the process is in. Tables that are not there (no IPv6) are left out. */
export function readNetTables(
  pid: number,
  procRoot = '/proc',
  pace: Pace = () => undefined,
): ReadonlyMap<number, NetSocket> {
  const each = (table: string, add: (line: string) => void): void => {
    for (const line of lines(`${procRoot}/${pid}/net/${table}`, pace)) {
      pace();
      add(line);
    }
  };
  const sockets = new Map<number, NetSocket>();
  for (const kind of ['tcp', 'tcp6', 'udp', 'udp6'] as const) each(kind, (line) => addInet(sockets, kind, line));
  each('unix', (line) => addUnix(sockets, line));
  each('netlink', (line) => addByLastField(sockets, 'netlink', line, 9));
  each('packet', (line) => addByLastField(sockets, 'packet', line, 8));
  return sockets;
}

/** Names of RFC 9293 by the kernel's numbers, include/net/tcp_states.h. */
const TCP_STATES: Readonly<Record<string, string>> = {
  '01': 'ESTABLISHED',
  '02': 'SYN-SENT',
  '03': 'SYN-RECEIVED',
  '04': 'FIN-WAIT-1',
  '05': 'FIN-WAIT-2',
  '06': 'TIME-WAIT',
  '07': 'CLOSED',
  '08': 'CLOSE-WAIT',
  '09': 'LAST-ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
  '0C': 'SYN-RECEIVED',
};

/** `sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode …` */
function addInet(sockets: Map<number, NetSocket>, kind: 'tcp' | 'tcp6' | 'udp' | 'udp6', line: string): void {
  const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
  if (local === undefined || remote === undefined || state === undefined || inode === undefined) return;
  sockets.set(Number(inode), {
    kind,
    state: kind.startsWith('tcp') ? (TCP_STATES[state] ?? null) : null,
    local: parseAddress(local),
    remote: parseAddress(remote),
  });
}

/** `Num RefCount Protocol Flags Type St Inode Path`; the path may hold spaces, and an abstract name begins with `@`. */
function addUnix(sockets: Map<number, NetSocket>, line: string): void {
  const match = /^\S+: \S+ \S+ \S+ \S+ (\S+)\s+(\d+)(?: (.*))?$/.exec(line);
  if (match === null) return;
  const [, , inode, path] = match;
  sockets.set(Number(inode), { kind: 'unix', state: null, local: path ?? null, remote: null });
}

function addByLastField(sockets: Map<number, NetSocket>, kind: string, line: string, index: number): void {
  const inode = Number(line.trim().split(/\s+/)[index]);
  if (Number.isInteger(inode)) sockets.set(inode, { kind, state: null, local: null, remote: null });
}

/**
 * `0100007F:1F90` → `127.0.0.1:8080`; IPv6 as four words, `[::1]:80`. The words are in the byte order of the machine,
 * which is little-endian on every platform that is supported here.
 */
export function parseAddress(text: string): string | null {
  const [address, port] = text.split(':');
  if (address === undefined || port === undefined || !/^(?:[0-9A-F]{8}|[0-9A-F]{32})$/.test(address)) return null;
  const bytes: number[] = [];
  for (let word = 0; word < address.length; word += 8) {
    for (let at = 6; at >= 0; at -= 2) bytes.push(Number.parseInt(address.slice(word + at, word + at + 2), 16));
  }
  const number = Number.parseInt(port, 16);
  return bytes.length === 4 ? `${bytes.join('.')}:${number}` : `[${ipv6(bytes)}]:${number}`;
}

/** RFC 5952: lower case, the longest run of zero groups as `::`, mapped IPv4 dotted. */
function ipv6(bytes: readonly number[]): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  if (groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff')
    return `::ffff:${bytes.slice(12).join('.')}`;
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (groups[start + length] === '0') length += 1;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

/** Without the heading. */
function lines(path: string, pace: Pace): readonly string[] {
  try {
    return readInPieces(path, pace).split('\n').slice(1, -1);
  } catch (error) {
    // The protocol is not there, the process is gone (EINVAL while it is reaped), or it is another user's.
    if (isGone(error) || isDenied(error) || (error instanceof Error && 'code' in error && error.code === 'EINVAL'))
      return [];
    throw error;
  }
}

const PIECE_BYTES = 64 * 1024;

/** A table is as long as its namespace has sockets, and the kernel walks them as it is read. */
function readInPieces(path: string, pace: Pace): string {
  const pieces: Buffer[] = [];
  const file = openSync(path, 'r');
  try {
    for (;;) {
      pace();
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      const count = readSync(file, piece);
      if (count === 0) return Buffer.concat(pieces).toString('utf8');
      pieces.push(piece.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
}
