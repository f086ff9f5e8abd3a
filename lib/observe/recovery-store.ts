/**
 * What became of recoveries, by tool and strategy, kept across the daemon's restarts: one small JSON file. It is read once,
 * and written a while after a change, whole and beside the old one, so that nobody who decides waits for a disk. Bounded:
 * the tools that changed longest ago go first. What cannot be understood is set aside under a name that is told.
 */

import { readFileSync, renameSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { RecoveryRecord, Strategy } from '../core/recovery-strategy.ts';
import { NO_RECOVERIES, STRATEGIES } from '../core/recovery-strategy.ts';

const FORMAT = 1;
const TOOLS_KEPT = 2_000;
const WRITE_AFTER_MS = 1_000;

export interface RecoveryStoreOptions {
  readonly file: string;
  wallMs(): number;
  /** In words; the daemon goes on without it. */
  onProblem(problem: string): void;
}

export class RecoveryStore {
  readonly #options: RecoveryStoreOptions;
  /** The one that changed last comes last. */
  readonly #tools: Map<string, RecoveryRecord>;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();
  #failing = false;

  constructor(options: RecoveryStoreOptions) {
    this.#options = options;
    this.#tools = readTools(options);
  }

  of(tool: string): RecoveryRecord {
    return this.#tools.get(tool) ?? NO_RECOVERIES;
  }

  keep(tool: string, record: RecoveryRecord): void {
    this.#tools.delete(tool);
    this.#tools.set(tool, record);
    const oldest = this.#tools.keys().next();
    if (this.#tools.size > TOOLS_KEPT && oldest.done !== true) this.#tools.delete(oldest.value);
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => void this.flush(), WRITE_AFTER_MS);
    this.#timer.unref();
  }

  /** Resolves when everything until now is written, or cannot be. Never rejects. */
  flush(): Promise<void> {
    if (this.#timer === null) return this.#writing;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const { file, onProblem } = this.#options;
    try {
      const text = JSON.stringify({ format: FORMAT, tools: Object.fromEntries(this.#tools) });
      await writeFile(`${file}.new`, text, { mode: 0o600 });
      await rename(`${file}.new`, file);
      this.#failing = false;
    } catch (error) {
      // Once, not for each change of a disk that stays full. With the next change it is tried again.
      if (!this.#failing) onProblem(`${file} could not be written, and what it knows is as old: ${messageOf(error)}`);
      this.#failing = true;
    }
  }
}

function readTools({ file, wallMs, onProblem }: RecoveryStoreOptions): Map<string, RecoveryRecord> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onProblem(`${file} is not read: ${messageOf(error)}`);
    return new Map();
  }
  try {
    return parse(text, (problem) => onProblem(`${file}: ${problem}`));
  } catch (error) {
    const aside = `${file}.damaged-${wallMs()}`;
    try {
      renameSync(file, aside);
      onProblem(`${file} cannot be understood (${messageOf(error)}): it is set aside as ${aside}`);
    } catch (refused) {
      onProblem(`${file} cannot be understood (${messageOf(error)}), and is written over: ${messageOf(refused)}`);
    }
    return new Map();
  }
}

/** @throws Error when it is not what `#write` writes */
function parse(text: string, onProblem: (problem: string) => void): Map<string, RecoveryRecord> {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) throw new Error('it is no object');
  if (value['format'] !== FORMAT) throw new Error(`its format is ${String(value['format'])}, not ${FORMAT}`);
  const { tools } = value;
  if (!isRecord(tools)) throw new Error('it has no tools');
  const known = new Map<string, RecoveryRecord>();
  for (const [tool, record] of Object.entries(tools).slice(-TOOLS_KEPT)) {
    const unknown = unknownStrategy(record);
    if (unknown !== null)
      onProblem(
        `what it says of ${tool} is left out: this version has no strategy ${unknown} (it has ${STRATEGIES.join(', ')})`,
      );
    else if (isRecoveries(record)) known.set(tool, record);
    else throw new Error(`what it says of ${tool} is no record`);
  }
  return known;
}

/** One of another version of Governor: what it did for a tool is of no use here, and says nothing of the other tools. */
function unknownStrategy(value: unknown): string | null {
  if (!isRecord(value)) return null;
  const { strategies, replaced } = value;
  const names: unknown[] = isRecord(strategies) ? Object.keys(strategies) : [];
  if (isRecord(replaced)) names.push(replaced['strategy'], replaced['written']);
  return names.find((name): name is string => typeof name === 'string' && !isStrategy(name)) ?? null;
}

function isRecoveries(value: unknown): value is RecoveryRecord {
  if (!isRecord(value) || !isRecord(value['strategies'])) return false;
  const { strategies, replaced, degraded } = value;
  return (
    Object.values(strategies).every(isCounts) &&
    (replaced === null || (isSince(replaced) && isStrategy(replaced['strategy']) && isStrategy(replaced['written']))) &&
    (degraded === null || isSince(degraded))
  );
}

function isCounts(value: unknown): boolean {
  if (!isRecord(value) || typeof value['recent'] !== 'string' || !/^[sf]{0,10}$/.test(value['recent'])) return false;
  return ['succeeded', 'failed', 'gaveUp', 'failedInARow', 'gaveUpInARow'].every((key) => {
    const count = value[key];
    return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0;
  });
}

function isSince(value: unknown): value is Record<string, unknown> {
  // A date that no calendar has would fail where it is shown.
  const sinceMs = isRecord(value) ? value['sinceMs'] : null;
  return (
    isRecord(value) && typeof sinceMs === 'number' && Math.abs(sinceMs) <= 8.64e15 && typeof value['why'] === 'string'
  );
}

function isStrategy(value: unknown): value is Strategy {
  return (STRATEGIES as readonly unknown[]).includes(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
