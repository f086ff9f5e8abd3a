/**
 * The top directories in which a daemon has the groups of its runs, and what killed daemons have left in them and beside
 * them. v1: `governor-<instance>` in each hierarchy; v2: `governor/<instance>`.
 */

import { rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import type { ContainmentRecord, SweepQuestions } from '../backend.ts';
import { errnoOf, isDenied, isGone } from '../kernel-file.ts';
import { contextGroupName, isContextGroup, removeEmptyContexts, topOf } from './context-groups.ts';
import { childGroups, isSameGroup, readOrNull, removeGroup, removeGroups, removeIfEmpty } from './directory.ts';

const DISCARD_MS = 1000;

/** What the directories beside an own top directory are called if they are one too. */
export type TopPrefix = 'governor-' | '';

export class Tops {
  readonly #own: readonly string[];
  readonly #prefix: TopPrefix;
  /** Of an earlier daemon of this instance that was started in other groups. */
  readonly #elsewhere = new Set<string>();

  constructor(own: Iterable<string>, prefix: TopPrefix) {
    this.#own = [...new Set(own)];
    this.#prefix = prefix;
  }

  /** The groups that a run gets. @param context whose group they are in; null: in none */
  groupsOf(runId: string, context: string | null = null): readonly string[] {
    const within = context === null ? [] : [contextGroupName(context)];
    return this.#own.map((top) => join(top, ...within, runId));
  }

  /** Null: the run is in the groups of another daemon. */
  placeOf({ directories }: ContainmentRecord): { readonly name: string | null } | null {
    const parent = dirname(directories[0]?.path ?? '');
    if (this.#own.includes(parent)) return { name: null };
    return isContextGroup(parent) && this.#own.includes(dirname(parent)) ? { name: basename(parent) } : null;
  }

  /** In a top directory, but that of a daemon that was started in other groups, or in a scope of its own. */
  isElsewhere(group: string): boolean {
    const top = topOf(group);
    return !this.#own.includes(top) && instanceOfTop(top) !== null;
  }

  /** Somebody else's top directory that holds groups of ours: it goes with this daemon. */
  remember(groups: Iterable<string>): void {
    for (const group of groups) if (this.isElsewhere(group)) this.#elsewhere.add(topOf(group));
  }

  /** @throws the errno of rmdir(2) when somebody is in one of them */
  async discard(runId: string, planned: readonly string[]): Promise<void> {
    // The ledger is a file: what it names must look like something that was made here.
    const elsewhere = planned.filter((path) => basename(path) === runId && instanceOfTop(topOf(path)) !== null);
    this.remember(elsewhere);
    const groups = [...this.groupsOf(runId), ...elsewhere.filter((path) => isSameGroup(path, null))];
    await removeGroups(new Set(groups), performance.now() + DISCARD_MS);
    await removeEmptyContexts(groups);
  }

  async sweep(questions: SweepQuestions): Promise<readonly string[]> {
    const removed: string[] = [];
    const note = (group: string, isRemoved: boolean): void => void (isRemoved && removed.push(group));
    // All of them are looked at before the first question is asked.
    const inTops = (await Promise.all(this.#own.map(groupsIn))).flat();
    const contexts = inTops.filter(isContextGroup);
    const inContexts = (await Promise.all(contexts.map(groupsIn))).flat();
    const neighbours = await this.#neighbours();
    for (const group of [...inTops.filter((path) => !isContextGroup(path)), ...inContexts]) {
      if (!questions.isOnRecord(basename(group))) note(group, await removeDeserted(group));
    }
    // Not with what is in it by now: a run of that context may be about to start. It makes it again.
    for (const context of contexts) note(context, await unlessInUse(() => rmdir(context)));
    for (const { top, instance, groups } of neighbours) {
      if (!(await questions.isDead(instance))) continue;
      for (const group of groups) note(group, await removeDeserted(group));
      // Not what is in it by now: its next daemon may have come. That one makes it again.
      note(top, await unlessInUse(() => rmdir(top)));
    }
    return removed;
  }

  async #neighbours(): Promise<readonly Neighbour[]> {
    const found: Neighbour[] = [];
    for (const own of this.#own) {
      for (const top of await groupsIn(dirname(own))) {
        if (this.#own.includes(top) || !basename(top).startsWith(this.#prefix)) continue;
        found.push({ top, instance: basename(top).slice(this.#prefix.length), groups: await groupsIn(top) });
      }
    }
    return found;
  }

  /** Removes what others had made and nobody uses any more. */
  async close(): Promise<void> {
    for (const own of this.#own)
      for (const group of await groupsIn(own)) if (isContextGroup(group)) await removeIfEmpty(group);
    for (const top of this.#elsewhere) {
      await removeIfEmpty(top);
      if (basename(dirname(top)) === SHARED) await removeIfEmpty(dirname(top));
    }
  }
}

interface Neighbour {
  readonly top: string;
  readonly instance: string;
  readonly groups: readonly string[];
}

/** In v2, around the tops of all daemons. */
const SHARED = 'governor';

/** By its name, whatever the version; null when it is no top directory. */
export function instanceOfTop(directory: string): string | null {
  const name = basename(directory);
  if (basename(dirname(directory)) === SHARED) return name;
  // A scope of the same name is around them.
  return /^governor-(?!.*\.(?:scope|service|slice)$)(.+)/.exec(name)?.[1] ?? null;
}

/** None of a group that is gone, or that this user may not look into. */
export async function groupsIn(directory: string): Promise<readonly string[]> {
  try {
    return await childGroups(directory);
  } catch (error) {
    if (isDenied(error)) return [];
    throw error;
  }
}

/** False when somebody is in it, or it is another user's. */
async function removeDeserted(group: string): Promise<boolean> {
  return unlessInUse(async () => {
    // Asked first: the sub-groups that a living tool has made are its own, also while they are empty.
    if (!(await isDeserted(group))) return false;
    await removeGroup(group, 0);
    return true;
  });
}

async function unlessInUse(remove: () => Promise<boolean | void>): Promise<boolean> {
  try {
    return (await remove()) !== false;
  } catch (error) {
    const code = errnoOf(error) ?? '';
    if (code === 'EBUSY' || code === 'ENOTEMPTY' || isGone(error) || isDenied(error)) return false;
    throw error;
  }
}

/** True when no process is in it or below, none of an outer PID namespace either: those are listed as 0. */
export async function isDeserted(group: string): Promise<boolean> {
  if ((readOrNull(join(group, 'cgroup.procs')) ?? '').trim() !== '') return false;
  for (const child of await childGroups(group)) if (!(await isDeserted(child))) return false;
  return true;
}
