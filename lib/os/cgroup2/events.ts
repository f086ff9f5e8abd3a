/** Wakes when the kernel changed `cgroup.events` or `memory.events` (inotify on kernfs; up to 10 ms late). */

import { type FSWatcher, watch } from 'node:fs';

import { errnoOf, isGone } from '../kernel-file.ts';

/**
 * Watches files that exist. One that cannot be watched is left out: the monitor's own samples are the truth.
 * @returns disposer
 */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  const watchers: FSWatcher[] = [];
  for (const path of paths) {
    const watcher = tryWatch(path, onChange);
    if (watcher !== null) watchers.push(watcher);
  }
  return () => {
    for (const watcher of watchers.splice(0)) watcher.close();
  };
}

function tryWatch(path: string, onChange: () => void): FSWatcher | null {
  try {
    const watcher = watch(path, { persistent: false }, () => onChange());
    // An error after the start (the group was removed) only means that nothing more comes.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch (error) {
    const code = errnoOf(error);
    // ENOSPC: no inotify watches left on this host; EMFILE: no inotify instance left.
    if (isGone(error) || code === 'ENOSPC' || code === 'EMFILE') return null;
    throw error;
  }
}
