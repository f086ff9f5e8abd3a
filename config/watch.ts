/**
 * Tells when limits.yaml says something else. The folder is watched, because editors replace a file by renaming another
 * over it; a slow poll beside it finds what inotify cannot: a folder that was deleted and made again, an edit behind a
 * symlink, a network file system.
 */

import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import { decode, readConfigFile } from './read-file.ts';
import type { Result } from '../lib/core/result.ts';
import { err } from '../lib/core/result.ts';
import type { Problem } from '../lib/core/errors.ts';

export interface WatchOptions<T> {
  readonly path: string;
  /** Makes a configuration of what the file says now. */
  readonly load: (text: string) => Result<T, readonly Problem[]>;
  /** Called once for each change of the contents, also when they are not valid, or when the file is gone. */
  readonly onChange: (result: Result<T, readonly Problem[]>) => void;
  /** Quiet time after the last event before the file is read; editors write in several steps. Default 200. */
  readonly debounceMs?: number;
  /** Default 5000. */
  readonly pollMs?: number;
}

export interface ConfigWatcher {
  /** `poll`: the kernel gave no watch (its limit of inotify instances is the usual reason). */
  readonly mode: 'events' | 'poll';
  close(): void;
}

export function watchConfig<T>(options: WatchOptions<T>): ConfigWatcher {
  const { path, load, onChange, debounceMs = 200, pollMs = 5000 } = options;
  let last = snapshot(path);
  let timer: NodeJS.Timeout | null = null;
  let closed = false;

  const look = (): void => {
    timer = null;
    const current = snapshot(path);
    if (current.key === last.key) return;
    last = current;
    onChange(current.text.ok ? load(current.text.value) : err([current.text.error]));
  };
  const changed = (): void => {
    if (closed) return;
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(look, debounceMs);
    timer.unref();
  };

  // Not watchFile(): what happens before its first look is never told.
  const poll = setInterval(() => timer ?? changed(), pollMs);
  poll.unref();
  const events = watchFolder(dirname(path), changed);
  return {
    get mode() {
      return events.working() ? 'events' : 'poll';
    },
    close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      clearInterval(poll);
      events.close();
    },
  };
}

interface Snapshot {
  /** Equal for equal contents, and for the same reason why there are none. */
  readonly key: string;
  readonly text: Result<string, Problem>;
}

function snapshot(path: string): Snapshot {
  const bytes = readConfigFile(path);
  const text = bytes.ok ? decode(bytes.value, path) : bytes;
  return { key: text.ok ? `=${text.value}` : `!${JSON.stringify(text.error)}`, text };
}

function watchFolder(
  folder: string,
  changed: () => void,
): { readonly working: () => boolean; readonly close: () => void } {
  let watcher: FSWatcher | null = null;
  const close = (): void => {
    watcher?.close();
    watcher = null;
  };
  try {
    // Any name in the folder counts: a mounted ConfigMap changes by a link beside the file. Reading a page is cheap.
    watcher = watch(folder, { persistent: false }, changed);
    watcher.on('error', close);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // No inotify left (EMFILE, ENOSPC), none here (ENOSYS), no folder yet (ENOENT), not allowed (EACCES, EPERM): the poll stays.
    const tolerated = ['EMFILE', 'ENOSPC', 'ENOSYS', 'ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'];
    if (typeof code !== 'string' || !tolerated.includes(code)) throw error;
  }
  return { working: () => watcher !== null, close };
}
