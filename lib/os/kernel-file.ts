/**
 * Reading and writing the small text files of the kernel. A file that is read every second is opened once and parsed
 * from bytes: no string, no allocation. All kept files share one buffer, so what a read returned is valid only until
 * the next read of any kept file.
 */

import { closeSync, constants, openSync, readFileSync, readSync, write } from 'node:fs';
import { isGone, KernelParseError, KernelWriteError } from './kernel-error.ts';

export { errnoOf, failedReading, isDenied, isGone, KernelParseError, KernelWriteError } from './kernel-error.ts';

/** The shared buffer. Grows to what the largest file needed. */
let shared: Buffer = Buffer.allocUnsafeSlow(64 * 1024);

/** Some seq files (cgroup.procs, environ) hand out their text in pieces; nothing read here is larger than this. */
const LARGEST_READ = 16 * 1024 * 1024;

/** A kernel file held open. After the process it belongs to was reaped every read says so (ESRCH), also when its pid is in use again. */
export class KeptFile {
  readonly path: string;
  #fd: number;

  /** @throws the errno of open(2) */
  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, constants.O_RDONLY);
  }

  /** The file kept open, or null when it does not exist (any more). Other errors are thrown. */
  static tryOpen(path: string): KeptFile | null {
    try {
      return new KeptFile(path);
    } catch (error) {
      if (isGone(error)) return null;
      throw error;
    }
  }

  /**
   * One pread(2) from the start into the shared buffer: enough for every file that the kernel produces in one piece.
   * @returns bytes now in `buffer`, or -1 when what the file describes is gone
   */
  fill(): number {
    try {
      return readSync(this.#fd, shared, 0, shared.length, 0);
    } catch (error) {
      if (isGone(error)) return -1;
      throw error;
    }
  }

  /** As `fill`, but reads on to the end of a file that comes in pieces (one more call to the kernel). */
  fillAll(): number {
    let length = 0;
    for (;;) {
      if (length === shared.length) grow();
      let count: number;
      try {
        count = readSync(this.#fd, shared, length, shared.length - length, length);
      } catch (error) {
        if (isGone(error)) return -1;
        throw error;
      }
      if (count === 0) return length;
      length += count;
      if (length > LARGEST_READ) throw new KernelParseError(this.path, `more than ${LARGEST_READ} bytes`);
    }
  }

  /** The shared buffer; look at it anew after each `fill`, it may have been replaced by a larger one. */
  get buffer(): Buffer {
    return shared;
  }

  /** The text as a view of the shared buffer, or null when gone. */
  read(): Buffer | null {
    const length = this.fillAll();
    return length < 0 ? null : shared.subarray(0, length);
  }

  /**
   * The file as one number. `max` is Infinity.
   * @returns null when gone
   * @throws KernelParseError for anything else
   */
  readNumber(): number | null {
    const length = this.fill();
    if (length < 0) return null;
    const value = parseNumber(shared, 0, length);
    if (Number.isNaN(value)) throw new KernelParseError(this.path, shared.toString('latin1', 0, Math.min(length, 80)));
    return value;
  }

  /**
   * Reads a file of `key value` lines into `fields.values`; NaN for a key that the kernel did not print.
   * @returns false when gone
   */
  readKeyed(fields: KeyedFields): boolean {
    const length = this.fill();
    if (length < 0) return false;
    fields.parse(shared, length);
    return true;
  }

  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** What is read so seldom that it is not kept open, as one number; NaN when it is not there. */
export function readOnce(path: string): number {
  const file = KeptFile.tryOpen(path);
  const value = file?.readNumber() ?? Number.NaN;
  file?.close();
  return value;
}

/** A fixed choice of keys of a `key value` file (memory.stat, cpu.stat, memory.events), parsed from bytes. */
export class KeyedFields {
  readonly keys: readonly string[];
  /** In the order of `keys`. */
  readonly values: Float64Array;
  readonly #bytes: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.keys = keys;
    this.values = new Float64Array(keys.length);
    this.#bytes = keys.map(bytesOf);
  }

  parse(text: Buffer, length: number): void {
    for (let index = 0; index < this.values.length; index += 1) this.values[index] = Number.NaN;
    let left = this.#bytes.length;
    let next = 0;
    let at = 0;
    while (at < length && left > 0) {
      const index = this.#match(text, at, length, next);
      if (index >= 0) {
        const size = (this.#bytes[index] as Buffer).length;
        this.values[index] = parseNumber(text, at + size, length);
        next = index + 1;
        left -= 1;
      }
      while (at < length && text[at] !== NEWLINE) at += 1;
      at += 1;
    }
  }

  /** Which key stands at `at`, followed by white space or a colon. Keys mostly come in the order asked for: try from `from` on. */
  #match(text: Buffer, at: number, length: number, from: number): number {
    const count = this.#bytes.length;
    for (let step = 0; step < count; step += 1) {
      const index = (from + step) % count;
      const key = this.#bytes[index] as Buffer;
      if (at + key.length >= length) continue;
      let same = 0;
      while (same < key.length && text[at + same] === key[same]) same += 1;
      if (same < key.length) continue;
      const after = text[at + same];
      if (after === SPACE || after === COLON || after === TAB) return index;
    }
    return -1;
  }
}

/** The same few keys for every run: made once. A buffer of its own each, since a slice would hold on to a pool of 8 KiB. */
const KEY_BYTES = new Map<string, Buffer>();

function bytesOf(key: string): Buffer {
  const known = KEY_BYTES.get(key);
  if (known !== undefined) return known;
  const bytes = Buffer.allocUnsafeSlow(key.length);
  bytes.write(key, 'latin1');
  KEY_BYTES.set(key, bytes);
  return bytes;
}

const NEWLINE = 0x0a;
const TAB = 0x09;
const SPACE = 0x20;
const COLON = 0x3a;
const MINUS = 0x2d;

/**
 * The first number at or after `start`, skipping blanks and a colon; `max` is Infinity.
 * @returns NaN where no number stands there
 */
export function parseNumber(text: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && (text[at] === SPACE || text[at] === TAB || text[at] === COLON)) at += 1;
  if (text[at] === 0x6d && text[at + 1] === 0x61 && text[at + 2] === 0x78) return Number.POSITIVE_INFINITY;
  const negative = text[at] === MINUS;
  if (negative) at += 1;
  const first = at;
  let value = 0;
  while (at < end) {
    const digit = (text[at] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
    at += 1;
  }
  if (at === first) return Number.NaN;
  return negative ? -value : value;
}

/** The whole file as text, for start-up and for people; throws the errno. */
export function readKernelFile(path: string): string {
  return readFileSync(path, 'utf8');
}

/**
 * Writes in one write(2), on libuv's threads: joining a cgroup can take 15 ms.
 * @throws KernelWriteError
 */
export async function writeKernelFile(path: string, text: string): Promise<void> {
  let fd = -1;
  try {
    // Opening and closing never wait, so that only the write takes its turn on a thread.
    fd = openSync(path, constants.O_WRONLY);
    await writeOnThread(fd, text);
  } catch (error) {
    throw new KernelWriteError(path, text, error);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function writeOnThread(fd: number, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    write(fd, text, null, 'latin1', (error) => (error === null ? resolve() : reject(error)));
  });
}

function grow(): void {
  const larger = Buffer.allocUnsafeSlow(shared.length * 2);
  shared.copy(larger);
  shared = larger;
}
