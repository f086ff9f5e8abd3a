/**
 * Usage profiles on disk, so that what is known of a tool outlives the daemon: one small file a tool, named by the hash of
 * its name, replaced by rename. What cannot be read is set aside under a name that is told, never deleted; what cannot
 * be written is said once. No fsync, as with the ledger: what it costs to lose is some learning.
 */

import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { restoreProfile } from '../core/profile-state.ts';
import type { ProfileState } from '../core/profile-state.ts';
import type { UsageProfile } from '../core/usage-profile.ts';

/** Tools whose profile is kept; those that were not written for longest go first. A file is about 2 KiB, at most this. */
export const PROFILES_MAX = 5_000;
const FILE_MOST_BYTES = 64 * 1024;
const SET_ASIDE_MAX = 20;
const FORMAT = 1;
/** Hexadecimal digits. Not more: the log takes longer ones for secrets, and hides them. */
const NAME_LENGTH = 24;
/** Writes between two looks at how many files there are. */
const PRUNE_EVERY = 500;

export interface ProfileLog {
  info(data: object, message: string): void;
  warn(data: object, message: string): void;
  error(data: object, message: string): void;
}

export class ProfileStore {
  readonly #directory: string;
  readonly #log: ProfileLog;
  /** One thing after the other: a tool that comes again reads what was written of it. */
  #queue: Promise<unknown> = Promise.resolve();
  #isFailing = false;
  #writes = 0;

  constructor(directory: string, log: ProfileLog) {
    this.#directory = directory;
    this.#log = log;
    void this.#then(() => this.#prepare());
  }

  /** Null: there is none, or none that can be read. Never rejects. */
  read(tool: string): Promise<UsageProfile | null> {
    return this.#then(() => this.#read(tool));
  }

  /** @param state as it is now: what changes while it waits is not written. Never rejects. @returns whether it is on disk */
  write(tool: string, state: ProfileState): Promise<boolean> {
    const text = JSON.stringify({ format: FORMAT, tool, ...state });
    return this.#then(() => this.#write(tool, text));
  }

  /** What was begun is done. */
  async settled(): Promise<void> {
    await this.#queue;
  }

  #then<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #prepare(): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await this.#prune();
    } catch (error) {
      this.#complain(error);
    }
  }

  async #read(tool: string): Promise<UsageProfile | null> {
    const file = this.#file(tool);
    let text: string;
    try {
      if ((await stat(file)).size > FILE_MOST_BYTES) return await this.#setAside(file, 'is larger than any profile');
      text = await readFile(file, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // It may be whole: what is learnt from now on must not take its place.
      return code === 'ENOENT' ? null : await this.#setAside(file, `cannot be read (${code ?? String(error)})`);
    }
    const { profile, problem } = parse(text, tool);
    return profile ?? (await this.#setAside(file, problem));
  }

  async #setAside(file: string, problem: string): Promise<null> {
    const aside = `${file}.set-aside-${Date.now()}`;
    try {
      await rename(file, aside);
      this.#log.warn({ file: aside }, `a usage profile ${problem}: set aside under this name, and begun anew`);
    } catch (error) {
      this.#log.warn({ file, err: error }, `a usage profile ${problem}, and could not be set aside`);
    }
    return null;
  }

  async #write(tool: string, text: string): Promise<boolean> {
    const file = this.#file(tool);
    try {
      await writeFile(`${file}.new`, text, { mode: 0o600 });
      await rename(`${file}.new`, file);
      if (this.#isFailing) this.#log.info({}, 'usage profiles are written again');
      this.#isFailing = false;
      this.#writes++;
      if (this.#writes % PRUNE_EVERY === 0) await this.#prune();
      return true;
    } catch (error) {
      this.#complain(error);
      // A full disk leaves an empty one.
      await rm(`${file}.new`, { force: true }).catch(() => undefined);
      return false;
    }
  }

  /** Once, until it works again. */
  #complain(error: unknown): void {
    if (!this.#isFailing)
      this.#log.error({ err: error }, 'usage profiles cannot be written: what is learnt now is kept in memory only');
    this.#isFailing = true;
  }

  async #prune(): Promise<void> {
    const files: { readonly path: string; readonly changedMs: number }[] = [];
    const aside: typeof files = [];
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      // The daemon died in the middle of a write; what counts is the text before it.
      if (name.endsWith('.new')) await rm(path, { force: true });
      else if (/^[0-9a-f]{24}\.json/.test(name))
        (name.endsWith('.json') ? files : aside).push({ path, changedMs: (await lstat(path)).mtimeMs });
    }
    for (const [found, most] of [
      [files, PROFILES_MAX],
      [aside, SET_ASIDE_MAX],
    ] as const) {
      const byAge = found.toSorted((a, b) => b.changedMs - a.changedMs);
      for (const { path } of byAge.slice(most)) await rm(path, { force: true });
    }
  }

  #file(tool: string): string {
    return join(this.#directory, `${createHash('sha256').update(tool).digest('hex').slice(0, NAME_LENGTH)}.json`);
  }
}

function parse(text: string, tool: string): { readonly profile: UsageProfile | null; readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { profile: null, problem: 'is damaged' };
  }
  if (typeof value !== 'object' || value === null) return { profile: null, problem: 'is damaged' };
  const { format, tool: named } = value as { readonly format?: unknown; readonly tool?: unknown };
  if (typeof format === 'number' && format > FORMAT)
    return { profile: null, problem: `is of a newer version of Governor (format ${format})` };
  const profile = format === FORMAT && named === tool ? restoreProfile(value) : null;
  return { profile, problem: 'is damaged' };
}
