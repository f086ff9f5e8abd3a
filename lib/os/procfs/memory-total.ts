/**
 * Memory of a tree without a cgroup. The sum of RSS costs nothing but counts shared pages once per process; PSS is right
 * but costs the kernel 0.8 ms for a Node process. So PSS is read only when the sum is near the limit, and again only when
 * something moved: then of all, because what one process shares is in the PSS of the others.
 */

import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import type { Quality } from '../../core/usage.ts';
import { isGone } from '../kernel-file.ts';
import type { ProcessHandle } from './process-table.ts';

/** PSS is read above this share of the limit. */
const SCREEN = 0.7;
/** PSS is read again when members came or went, when the RSS of one moved by more than this, or after `REFRESH_MS`. */
const MOVED_PAGES = 1024;
const MOVED_SHARE = 0.02;
const REFRESH_MS = 5000;

/** The page size that /proc counts in: 4 KiB on x86-64, 4, 16 or 64 KiB on arm64. */
export const PAGE_BYTES = pageBytes();

interface Known {
  readonly rssPages: number;
  readonly pssBytes: number;
}

export class MemoryTotal {
  quality: Quality = 'rss-sum';
  #limitBytes: number | null = null;
  #nowMs = 0;
  #fresh = false;
  #pages = 0;
  readonly #members: ProcessHandle[] = [];
  readonly #memberPages: number[] = [];
  readonly #known = new Map<ProcessHandle, Known>();
  /** When all of `#known` was read. */
  #readMs = -Infinity;

  setLimit(bytes: number | null): void {
    this.#limitBytes = bytes;
  }

  begin(nowMs: number, fresh: boolean): void {
    this.#nowMs = nowMs;
    this.#fresh = fresh;
    this.#pages = 0;
    this.#members.length = 0;
    this.#memberPages.length = 0;
  }

  add(handle: ProcessHandle): void {
    const pages = handle.rssPages();
    this.#pages += pages;
    this.#members.push(handle);
    this.#memberPages.push(pages);
  }

  /** @returns bytes; `quality` says which kind of sum it is */
  finish(): number {
    const rssBytes = this.#pages * PAGE_BYTES;
    this.quality = 'rss-sum';
    if (this.#limitBytes === null || rssBytes <= this.#limitBytes * SCREEN) return rssBytes;
    const sum = this.#moved() ?? this.#readAll();
    if (sum === null) return rssBytes;
    this.quality = 'pss';
    return sum;
  }

  forget(handle: ProcessHandle): void {
    if (this.#known.delete(handle)) this.#readMs = -Infinity;
  }

  /** The last PSS moved by as much as RSS moved since, or null where that says too little. */
  #moved(): number | null {
    if (this.#fresh || this.#nowMs - this.#readMs >= REFRESH_MS || this.#known.size !== this.#members.length)
      return null;
    let sum = 0;
    for (let index = 0; index < this.#members.length; index += 1) {
      const known = this.#known.get(this.#members[index] as ProcessHandle);
      if (known === undefined) return null;
      const moved = (this.#memberPages[index] as number) - known.rssPages;
      if (Math.abs(moved) > Math.max(MOVED_PAGES, known.rssPages * MOVED_SHARE)) return null;
      sum += Math.max(0, known.pssBytes + moved * PAGE_BYTES);
    }
    return sum;
  }

  /** PSS of all members now; null when one cannot be read. */
  #readAll(): number | null {
    this.#known.clear();
    this.#readMs = -Infinity;
    let sum = 0;
    for (let index = 0; index < this.#members.length; index += 1) {
      const handle = this.#members[index] as ProcessHandle;
      const rssPages = this.#memberPages[index] as number;
      const pssBytes = handle.pssBytes() ?? (rssPages === 0 ? 0 : null);
      if (pssBytes === null) return null;
      this.#known.set(handle, { rssPages, pssBytes });
      sum += pssBytes;
    }
    this.#readMs = this.#nowMs;
    return sum;
  }
}

/** AT_PAGESZ of our own auxiliary vector, getauxval(3): pairs of 64-bit words on every platform of Node. */
function pageBytes(): number {
  const atPageSize = 6n;
  try {
    const vector = readFileSync('/proc/self/auxv');
    const word = (at: number): bigint =>
      endianness() === 'LE' ? vector.readBigUInt64LE(at) : vector.readBigUInt64BE(at);
    for (let at = 0; at + 16 <= vector.length; at += 16) if (word(at) === atPageSize) return Number(word(at + 8));
  } catch (error) {
    if (!isGone(error)) throw error; // no /proc: not Linux, nothing here is used
  }
  return 4096;
}
