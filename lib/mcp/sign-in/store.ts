/**
 * Sign-ins on disk, so that nobody has to sign in again after a restart of the daemon. One file a tool and address, readable by the
 * owner only, replaced by rename: a daemon that dies at any instant leaves the old tokens or the new ones.
 */

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { digest } from '../pool/identity.ts';
import { parseRecord, serialize } from './record.ts';
import type { SignInRecord } from './record.ts';

export type Found =
  | { readonly kind: 'none' }
  | { readonly kind: 'record'; readonly record: SignInRecord }
  /** There, and of no use. */
  | { readonly kind: 'damaged'; readonly file: string; readonly reason: string };

export interface SignInStore {
  read(tool: string, url: string): Found;
  /** @throws Error of the file system */
  write(record: SignInRecord): void;
  remove(tool: string, url: string): void;
  /** Every file, whosever it is. */
  all(): readonly { readonly file: string; readonly found: Found }[];
  /** By the name that `all` gives. */
  removeFile(file: string): void;
}

export function openSignInStore(directory: string): SignInStore {
  const fileOf = (tool: string, url: string): string => `${directory}/${digest([tool, url])}.json`;
  return {
    read(tool, url) {
      const file = fileOf(tool, url);
      const found = readOne(file);
      // Somebody has copied it.
      if (found.kind === 'record' && (found.record.tool !== tool || found.record.url !== url))
        return { kind: 'damaged', file, reason: 'it is of another tool' };
      return found;
    },
    write(record) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const file = fileOf(record.tool, record.url);
      writePrivately(`${file}.new`, serialize(record));
      renameSync(`${file}.new`, file);
    },
    remove: (tool, url) => rmSync(fileOf(tool, url), { force: true }),
    all() {
      const names = namesIn(directory);
      // The daemon died in the middle of a write: what counts is the text before it.
      for (const name of names) if (name.endsWith('.json.new')) rmSync(`${directory}/${name}`, { force: true });
      return names
        .filter((name) => name.endsWith('.json'))
        .map((name) => ({ file: `${directory}/${name}`, found: readOne(`${directory}/${name}`) }));
    },
    removeFile: (file) => rmSync(file, { force: true }),
  };
}

function readOne(file: string): Found {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? { kind: 'none' } : { kind: 'damaged', file, reason: message };
  }
  try {
    return { kind: 'record', record: parseRecord(text) };
  } catch (error) {
    // What a parser says of JSON quotes it, and it is secret.
    const reason = error instanceof SyntaxError ? 'it is no JSON' : (error as Error).message;
    return { kind: 'damaged', file, reason };
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A refresh token may be good for one use only: what is renamed is on the disk. */
function writePrivately(file: string, text: string): void {
  rmSync(file, { force: true });
  const handle = openSync(file, 'wx', 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(handle);
  }
}
