/** Which other program the kernel needs for a file: execve(2) says of a missing one only that something was not found. */

import { closeSync, openSync, readSync } from 'node:fs';

/** As much as the kernel reads of a script, and where every linker puts the program headers. */
const HEAD_BYTES = 4096;
const SCRIPT_LINE_BYTES = 256;
const ELF_INTERPRETER = 3;

/** @returns null where none is needed, or where that cannot be told */
export function interpreterOf(file: string): string | null {
  const head = readHead(file);
  if (head === null) return null;
  if (head.toString('latin1', 0, 2) === '#!') {
    const line = head.toString('utf8', 2, SCRIPT_LINE_BYTES).split('\n', 1)[0] ?? '';
    return /^[ \t]*([^ \t\0]+)/.exec(line)?.[1] ?? null;
  }
  return head.toString('latin1', 0, 4) === '\x7fELF' ? elfInterpreter(head) : null;
}

/** Of 64 bit, little endian (elf(5)): every platform that Node is built for but one. */
function elfInterpreter(head: Buffer): string | null {
  if (head.length < 64 || head[4] !== 2 || head[5] !== 1) return null;
  const tableAt = Number(head.readBigUInt64LE(32));
  const entryBytes = head.readUInt16LE(54);
  for (let index = 0; index < head.readUInt16LE(56); index++) {
    const at = tableAt + index * entryBytes;
    if (at + 40 > head.length) return null;
    if (head.readUInt32LE(at) !== ELF_INTERPRETER) continue;
    const from = Number(head.readBigUInt64LE(at + 8));
    const bytes = Number(head.readBigUInt64LE(at + 32));
    // It ends with NUL.
    return bytes < 2 || from + bytes > head.length ? null : head.toString('utf8', from, from + bytes - 1);
  }
  return null;
}

function readHead(file: string): Buffer | null {
  try {
    const opened = openSync(file, 'r');
    try {
      const head = Buffer.alloc(HEAD_BYTES);
      return head.subarray(0, readSync(opened, head, 0, HEAD_BYTES, 0));
    } finally {
      closeSync(opened);
    }
  } catch {
    // What may be run may not have to be read.
    return null;
  }
}
