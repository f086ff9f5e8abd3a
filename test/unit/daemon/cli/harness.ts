/** Runs the command line inside the test, against a state directory of its own. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { main } from '../../../../daemon/cli/main.ts';
import type { Terminal } from '../../../../daemon/cli/session.ts';

export const NOW_MS = Date.parse('2026-01-31T13:00:00.000Z');

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export type TerminalChanges = Partial<Omit<Terminal, 'stdout' | 'stderr'>> & { readonly tty?: boolean };

/** Short, because the name of a socket has at most 107 bytes. */
export function temporaryFolder(t: { teardown(action: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'gcli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function governor(words: readonly string[], changes: TerminalChanges = {}): Promise<Outcome> {
  let out = '';
  let err = '';
  const { tty = false, ...rest } = changes;
  const code = await main(words, {
    env: {},
    cwd: process.cwd(),
    platform: process.platform,
    entry: '/nonexistent/main.js',
    now: () => NOW_MS,
    interrupted: new AbortController().signal,
    bytes: { input: Readable.from([]), output: new PassThrough() },
    ...rest,
    stdout: { write: (text) => (out += text), isTTY: tty, columns: 100 },
    stderr: { write: (text) => (err += text), isTTY: tty, columns: 100 },
  });
  return { code, out, err };
}
