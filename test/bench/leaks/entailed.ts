/**
 * What a leak brings with it by its mechanism: a socket is a file handle, a process has memory and file handles of its own. Said of the
 * programs of the fast pace here; of those of the slow pace where they are declared.
 */

import type { LeakResource } from './operating-point.ts';

const ENTAILED: Readonly<Record<string, readonly LeakResource[]>> = {
  sockets: ['file_handles'],
  'udp sockets': ['file_handles'],
  // `sleep` with nothing as its input and output, which are three handles of it.
  processes: ['memory', 'file_handles'],
};

/** @returns what may be suspected beside what leaks; neither right nor wrong by itself */
export function entailedBy(family: string): readonly LeakResource[] {
  return ENTAILED[family] ?? [];
}
