/**
 * The ledger of runs: one small JSON file a run, replaced by rename, so that a daemon that dies at any instant leaves
 * either the old or the new text. No fsync: what must survive is the daemon, not the machine; entries of another boot
 * are only cleaned up after. One file a run keeps a damaged one from hiding the others.
 */

import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from '../core/identity.ts';

/** What is needed to find, judge, re-adopt or clean up after a run. JSON. */
export interface LedgerEntry {
  readonly version: 1;
  readonly runId: string;
  readonly tool: string;
  readonly bootId: string;
  readonly mode: 'direct' | 'managed';
  /** How far the acquisition got. */
  readonly step: 'intended' | 'temp_dir' | 'contained' | 'running' | 'stopping' | 'unproven';
  readonly startedWallMs: number;
  /** By the clock of the host (`SupervisorPorts.hostMs`), within `bootId`. Absent from entries of an older version. */
  readonly startedHostMs?: number;
  readonly leader: ProcessIdentity | null;
  readonly clients: readonly ProcessIdentity[];
  readonly detached: boolean;
  readonly context: string | null;
  readonly tempDir: string;
  readonly tempRoot: string;
  /** Opaque to this room: what the operating-system room is about to make. Absent from entries of an older version. */
  readonly plan?: unknown;
  /** Opaque, and null until it is made: the containment record of the operating-system room. */
  readonly containment: unknown;
  /** Opaque: the tool definition with environment values left out. */
  readonly definition: unknown;
  /** A lowered limit is not the kernel's yet: usage was too near to it. Absent from entries of an older version. */
  readonly capsPending?: boolean;
  /** Masked. */
  readonly command: readonly string[];
  readonly cwd: string;
}

export interface LedgerProblem {
  readonly file: string;
  readonly message: string;
}

export class Ledger {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Synchronous: an entry is on record before what it announces is done. Throws the file system's error. */
  write(entry: LedgerEntry): void {
    const file = this.#file(entry.runId);
    try {
      writeFileSync(`${file}.new`, JSON.stringify(entry), { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      // A full disk leaves an empty one.
      rmSync(`${file}.new`, { force: true });
      throw error;
    }
  }

  remove(runId: string): void {
    rmSync(this.#file(runId), { force: true });
  }

  has(runId: string): boolean {
    return existsSync(this.#file(runId));
  }

  /** Every readable entry; a damaged one is set aside as `*.damaged` and reported. */
  readAll(): { readonly entries: readonly LedgerEntry[]; readonly problems: readonly LedgerProblem[] } {
    const entries: LedgerEntry[] = [];
    const problems: LedgerProblem[] = [];
    for (const name of readdirSync(this.#directory)) {
      const file = join(this.#directory, name);
      // The daemon died in the middle of a write: what counts is the text before it, if there is one.
      if (name.endsWith('.json.new')) rmSync(file, { force: true });
      if (!name.endsWith('.json')) continue;
      try {
        entries.push(parseEntry(readFileSync(file, 'utf8')));
      } catch (error) {
        renameSync(file, `${file}.damaged`);
        problems.push({ file: `${file}.damaged`, message: error instanceof Error ? error.message : String(error) });
      }
    }
    return { entries, problems };
  }

  #file(runId: string): string {
    return join(this.#directory, `${runId}.json`);
  }
}

/** What a daemon that has ended could not prove to be stopped. Looks only: a successor may be writing. */
export function unprovenRuns(directory: string): readonly LedgerEntry[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.flatMap((name) => {
    if (!name.endsWith('.json')) return [];
    try {
      const entry = parseEntry(readFileSync(join(directory, name), 'utf8'));
      return entry.step === 'unproven' ? [entry] : [];
    } catch {
      // Gone meanwhile, or damaged: the next daemon sets it aside and says so.
      return [];
    }
  });
}

function parseEntry(text: string): LedgerEntry {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new Error('not an object');
  const entry = value as Partial<Record<keyof LedgerEntry, unknown>>;
  if (entry.version !== 1) throw new Error(`version ${String(entry.version)} is not known`);
  for (const key of ['runId', 'tool', 'bootId', 'step', 'tempDir', 'tempRoot', 'cwd'] as const) {
    if (typeof entry[key] !== 'string') throw new Error(`${key} is missing`);
  }
  if (!/^[0-9a-z]{10}$/.test(entry.runId as string)) throw new Error('runId is malformed');
  if (!Array.isArray(entry.clients)) throw new Error('clients is missing');
  return value as LedgerEntry;
}
