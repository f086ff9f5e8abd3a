/** Who belongs to a run, from one list of processes: descendants of its root, and groups that members made. */

import type { ProcessIdentity } from '../../core/identity.ts';
import type { ListedProcess } from './process-list.ts';

export class PortableTree {
  /** Members by pid. Once a member, always one, until it ends. */
  readonly #known = new Map<number, number>();
  readonly #everPids = new Set<number>();

  add(identity: ProcessIdentity): void {
    this.#known.set(identity.pid, identity.startTicks);
    this.#everPids.add(identity.pid);
  }

  /** @returns the live members among the listed processes, zombies left out; never ourselves or an ancestor of ours */
  update(list: readonly ListedProcess[]): readonly ListedProcess[] {
    const byPid = new Map(list.map((entry) => [entry.pid, entry]));
    for (const [pid, startTicks] of this.#known) if (byPid.get(pid)?.startTicks !== startTicks) this.#known.delete(pid);
    const barred = ancestorsOf(process.pid, byPid);
    for (let changed = true; changed;) {
      changed = false;
      const groups = new Set(
        [...this.#known.keys()].map((pid) => byPid.get(pid)?.group ?? 0).filter((group) => this.#everPids.has(group)),
      );
      for (const entry of list) {
        if (this.#known.has(entry.pid) || barred.has(entry.pid)) continue;
        if (!this.#known.has(entry.ppid) && !groups.has(entry.group)) continue;
        this.add(entry);
        changed = true;
      }
    }
    return list.filter((entry) => this.#known.has(entry.pid) && entry.state !== 'Z');
  }
}

function ancestorsOf(pid: number, byPid: ReadonlyMap<number, ListedProcess>): ReadonlySet<number> {
  const found = new Set([0, 1]);
  for (let at: number | undefined = pid; at !== undefined && !found.has(at); at = byPid.get(at)?.ppid) found.add(at);
  return found;
}
