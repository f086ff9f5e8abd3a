/** The bytes of a limits.yaml, bounded, as text. */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { err, ok } from '../lib/core/result.ts';
import type { Result } from '../lib/core/result.ts';
import type { Problem } from '../lib/core/errors.ts';
import { formatBytes } from '../lib/core/format.ts';

/** A limits.yaml is a page or two; anything larger is a mistake or an attack. */
export const MAX_FILE_BYTES = 1024 * 1024;

export function readConfigFile(path: string): Result<Buffer, Problem> {
  let fd: number;
  try {
    // Non-blocking: opening a FIFO would otherwise wait for a writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return err({ where: { file: path }, ...openingProblem(error) });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return err({ where: { file: path }, message: 'is not a file', hint: 'name a limits.yaml' });
    // One more than allowed shows that there is more, also where a file grows while it is read.
    const buffer = Buffer.alloc(Math.min(stat.size, MAX_FILE_BYTES) + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read) {
      read = readSync(fd, buffer, length, buffer.length - length, length);
    }
    return ok(buffer.subarray(0, length));
  } catch (error) {
    return err({ where: { file: path }, ...openingProblem(error) });
  } finally {
    closeSync(fd);
  }
}

/** UTF-8 without control characters, with or without a byte order mark. */
export function decode(bytes: Uint8Array, file: string): Result<string, Problem> {
  if (bytes.length > MAX_FILE_BYTES) {
    return err({
      where: { file },
      message: `is larger than ${formatBytes(MAX_FILE_BYTES)}`,
      hint: 'a limits.yaml is a page or two',
    });
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return err({ where: placeOfBadByte(bytes, file), message: 'is not UTF-8 text', hint: 'save the file as UTF-8' });
  }
  const control = CONTROL.exec(text);
  if (control === null) return ok(text);
  const code = control[0].charCodeAt(0).toString(16).padStart(2, '0');
  return err({
    where: placeAfter(text.slice(0, control.index), file),
    message: `has a control character (0x${code})`,
    hint: 'take it out',
  });
}

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

function placeOfBadByte(bytes: Uint8Array, file: string): NonNullable<Problem['where']> {
  // The replacement character is where decoding failed, unless the file has one of its own before.
  const lenient = new TextDecoder('utf-8').decode(bytes);
  return placeAfter(lenient.slice(0, Math.max(0, lenient.indexOf('\ufffd'))), file);
}

/** The place of what comes after `before`. */
export function placeAfter(before: string, file: string): NonNullable<Problem['where']> {
  const lines = before.split('\n');
  return { file, line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

function openingProblem(error: unknown): { message: string; hint: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : null;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return { message: 'there is no such file', hint: 'name one that exists' };
  if (code === 'EACCES' || code === 'EPERM')
    return { message: 'may not be read', hint: 'give the user of the daemon the right to read it' };
  if (code === 'EISDIR') return { message: 'is not a file', hint: 'name a limits.yaml' };
  if (code === null) throw error;
  return { message: `cannot be read (${code})`, hint: 'check the path and the disk' };
}
