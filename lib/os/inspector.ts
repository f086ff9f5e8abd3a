/** What a run is made of, for people: its processes, sockets and open files, one by one. */

import type { Reading } from '../core/usage.ts';

export interface ProcessView {
  readonly pid: number;
  readonly ppid: number;
  readonly startTicks: number;
  /** comm, at most 15 bytes, made printable. Never arguments: they may hold secrets. */
  readonly name: string;
  readonly state: string;
  readonly memory: Reading;
  readonly cpuTimeMs: number;
  readonly fileHandles: Reading;
  readonly sockets: Reading;
  readonly threads: number;
}

export interface SocketView {
  readonly pid: number;
  readonly fd: number;
  readonly inode: number;
  /** tcp, tcp6, udp, udp6, unix, netlink, packet, other */
  readonly kind: string;
  /** TCP state by its RFC 9293 name, else null. */
  readonly state: string | null;
  readonly local: string | null;
  readonly remote: string | null;
}

export interface FileView {
  readonly pid: number;
  readonly fd: number;
  /** file, pipe, socket, anon, device, directory */
  readonly kind: string;
  /** Path for files, kernel name otherwise. */
  readonly target: string;
  readonly deleted: boolean;
}

/** Called before each read of a look, a few microseconds apart; what it throws ends the look, and is thrown on. */
export type Pace = () => void;

/** On demand, for people: may cost milliseconds, and with very many descriptors or sockets of a host seconds. */
export interface Inspector {
  processes(pace?: Pace): readonly ProcessView[];
  sockets(pace?: Pace): readonly SocketView[];
  files(pace?: Pace): readonly FileView[];
}
