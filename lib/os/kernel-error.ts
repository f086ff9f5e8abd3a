/** What can go wrong with kernel files, and what it means. */

import { type Gone, GONE, type Unsupported, unsupported } from '../core/usage.ts';

/** The kernel printed what this build does not understand. */
export class KernelParseError extends Error {
  readonly file: string;
  readonly text: string;

  constructor(file: string, text: string) {
    super(`${file}: unexpected text ${JSON.stringify(text)}`);
    this.name = 'KernelParseError';
    this.file = file;
    this.text = text;
  }
}

/** A write that the kernel refused: which file, what text, why. */
export class KernelWriteError extends Error {
  readonly path: string;
  readonly text: string;
  readonly errno: string;

  constructor(path: string, text: string, cause: unknown) {
    const errno = errnoOf(cause) ?? 'unknown error';
    super(`${path}: writing ${JSON.stringify(text)} was refused: ${errno}`, { cause });
    this.name = 'KernelWriteError';
    this.path = path;
    this.text = text;
    this.errno = errno;
  }
}

/** `ENOENT` and the like of a thrown system error, else null. */
export function errnoOf(error: unknown): string | null {
  if (error instanceof KernelWriteError) return error.errno;
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** True for the errnos that mean: the process or group no longer exists. */
export function isGone(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ESRCH' || errno === 'ENODEV';
}

/** True for the errnos that mean: not with the rights we have. */
export function isDenied(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'EACCES' || errno === 'EPERM';
}

/** What a failed read means for a reading. Anything unexpected is thrown on. */
export function failedReading(error: unknown, what: string): Gone | Unsupported {
  if (isGone(error)) return GONE;
  if (isDenied(error)) return unsupported(`${what}: not permitted to this user (${errnoOf(error)})`);
  if (errnoOf(error) === 'EMFILE') return unsupported(`${what}: the daemon has no file handles left (EMFILE)`);
  throw error;
}
