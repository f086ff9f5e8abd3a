/**
 * Pages of our own program files that are not in use: V8's snapshot, the sources of Node's own modules, tables of ICU, and
 * code that only a start or a burst has run (compilers, parsers, TLS). They are page cache, the same for every Node of the
 * host; as long as they are mapped here they count as our memory, and the kernel holds on to them. Once unmapped they come
 * back by themselves when they are touched, 64 KiB at a time.
 */

import { native } from './native.ts';
import { isDenied, isGone, readKernelFile } from './kernel-file.ts';

export interface Pages {
  readonly address: bigint;
  readonly bytes: number;
}

/** Smaller ones are not worth the call. */
const SMALLEST_BYTES = 1024 * 1024;
const READ_ONLY = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ \S+ +(\/.*)$/m;
const WRITABLE = /^[0-9a-f]+-[0-9a-f]+ rw-p \S+ \S+ \S+ +(\/.*)$/gm;

/**
 * Only of mappings that are there now, or of files that are mapped to their end by then: of a library that another thread is
 * loading (getaddrinfo(3) does so) a mapping can be seen over which written data is laid the next moment.
 * @returns what gives them back: bytes of mappings, 0 where that is not possible
 */
export function programPages(): () => number {
  const calls = native();
  if (!calls.available) return () => 0;
  const known = new Set(readOrNothing('/proc/self/maps').split('\n'));
  return () => {
    let released = 0;
    for (const { address, bytes } of readOnlyPages(readOrNothing('/proc/self/smaps'), known))
      if (calls.forgetPages(address, bytes) === 0) released += bytes;
    return released;
  };
}

function readOrNothing(path: string): string {
  try {
    return readKernelFile(path);
  } catch (error) {
    // ENOENT: a kernel without CONFIG_PROC_PAGE_MONITOR.
    if (isGone(error) || isDenied(error)) return '';
    throw error;
  }
}

/**
 * Mappings of files that may not be written and that hold nothing but what is in the file: a page that was ever written
 * (relocations, a breakpoint) is anonymous or swapped out, and would be lost.
 *
 * The part of a program file that may be written is its last, and loaders map in that order (elf(5): PT_LOAD entries are
 * ascending): where it is there nothing more is laid over the others.
 * @param smaps text of /proc/PID/smaps, proc_pid_smaps(5) @param known lines of /proc/PID/maps that stay as they are
 */
export function readOnlyPages(smaps: string, known: ReadonlySet<string>): readonly Pages[] {
  const found: Pages[] = [];
  const complete = new Set(Array.from(smaps.matchAll(WRITABLE), ([, path]) => path));
  for (const mapping of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [head = '', from, to, path] = READ_ONLY.exec(mapping) ?? [];
    if (from === undefined || to === undefined || !(known.has(head) || complete.has(path))) continue;
    if (kilobytes(mapping, 'Anonymous') !== 0 || kilobytes(mapping, 'Swap') !== 0) continue;
    const address = BigInt(`0x${from}`);
    const bytes = Number(BigInt(`0x${to}`) - address);
    if (bytes >= SMALLEST_BYTES) found.push({ address, bytes });
  }
  return found;
}

function kilobytes(mapping: string, key: string): number {
  return Number(new RegExp(`^${key}: +(\\d+) kB$`, 'm').exec(mapping)?.[1] ?? Number.NaN);
}
