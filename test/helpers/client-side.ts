/** What a client of a stdio server sees of it. */

import type { ChildProcessWithoutNullStreams } from 'node:child_process';

export interface ClientSide {
  readonly child: ChildProcessWithoutNullStreams;
  /** Its code, once its streams are closed as well. */
  readonly ended: Promise<number | null>;
  out(): string;
  err(): string;
}

export function clientSide(child: ChildProcessWithoutNullStreams): ClientSide {
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (out += part));
  child.stderr.setEncoding('utf8').on('data', (part: string) => (err += part));
  child.stdin.on('error', () => undefined);
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  return { child, ended, out: () => out, err: () => err };
}
