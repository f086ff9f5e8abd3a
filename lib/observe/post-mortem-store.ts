/**
 * Post-mortems on disk: one JSON file a failure, readable by the owner only, so many a tool and so many bytes in all. What
 * is added is taken at once and written one after the other; a disk that refuses costs the document and nothing else.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What this needs to know of a document. */
export interface Kept {
  readonly version: 1;
  /** `[0-9a-z]+`, one a document. */
  readonly id: string;
  readonly tool: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface PostMortemStoreOptions {
  readonly directory: string;
  readonly keepPerTool: number;
  readonly maxBytes: number;
  /** In words; the daemon goes on without it. */
  onProblem(problem: string): void;
}

interface Filed {
  readonly name: string;
  readonly atMs: number;
  readonly id: string;
  /** Of the tool: its name may hold what no file name can. */
  readonly key: string;
  readonly bytes: number;
}

/** Documents that wait for a slow disk. */
const WAITING_MOST = 100;
const FILE_NAME = /^(\d{1,16})-([0-9a-z]{1,32})-([0-9a-f]{16})\.json$/;

export class PostMortemStore<Document extends Kept> {
  readonly #options: PostMortemStoreOptions;
  /** Oldest first. */
  #files: Filed[];
  #waiting = 0;
  #work: Promise<void> = Promise.resolve();
  #lost = 0;

  constructor(options: PostMortemStoreOptions) {
    this.#options = options;
    this.#files = readDirectory(options);
    this.#work = this.#prune();
  }

  /** Never throws, and waits for nothing. */
  add(document: Document): void {
    if (this.#waiting >= WAITING_MOST) return this.#lose(document, 'the disk is too slow: too many wait already');
    this.#waiting++;
    this.#work = this.#work.then(async () => {
      await this.#write(document);
      this.#waiting--;
    });
  }

  /** Newest first. @param tool null: of all tools */
  async list(tool: string | null, limit: number): Promise<readonly Document[]> {
    await this.#work;
    const key = tool === null ? null : keyOf(tool);
    const files = this.#files.filter((file) => key === null || file.key === key);
    const documents: Document[] = [];
    for (const file of files.toReversed()) {
      if (documents.length >= limit) break;
      const document = await this.#read(file);
      // Two names with one hash would have to be made on purpose.
      if (document !== null && (tool === null || document.tool === tool)) documents.push(document);
    }
    return documents;
  }

  async read(tool: string, id: string): Promise<Document | null> {
    await this.#work;
    const key = keyOf(tool);
    const file = this.#files.find((one) => one.id === id && one.key === key);
    const document = file === undefined ? null : await this.#read(file);
    return document?.tool === tool ? document : null;
  }

  /** Resolves when everything that was added is written, or lost. Never rejects. */
  settled(): Promise<void> {
    return this.#work;
  }

  async #write(document: Document): Promise<void> {
    const { directory, maxBytes } = this.#options;
    const atMs = Date.parse(document.at);
    const text = JSON.stringify(document);
    const bytes = Buffer.byteLength(text);
    const file: Filed = {
      name: `${String(Math.max(0, atMs)).padStart(13, '0')}-${document.id}-${keyOf(document.tool)}.json`,
      atMs,
      id: document.id,
      key: keyOf(document.tool),
      bytes,
    };
    if (!FILE_NAME.test(file.name)) return this.#lose(document, `${file.name} is no name for it`);
    if (bytes > maxBytes) return this.#lose(document, `it has ${bytes} bytes, and all together may have ${maxBytes}`);
    const path = `${directory}/${file.name}`;
    try {
      await writeFile(`${path}.new`, text, { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (error) {
      await rm(`${path}.new`, { force: true }).catch(() => undefined);
      return this.#lose(document, (error as Error).message);
    }
    if (this.#lost > 0) this.#options.onProblem(`post-mortems are kept again; ${this.#lost} could not be`);
    this.#lost = 0;
    this.#files = [...this.#files.filter(({ name }) => name !== file.name), file].sort(byTime);
    await this.#prune();
  }

  /** Told once, until one is kept again. */
  #lose({ tool, id }: Document, why: string): void {
    this.#lost++;
    if (this.#lost === 1) this.#options.onProblem(`the post-mortem of ${tool}, run ${id}, is not kept: ${why}`);
  }

  async #prune(): Promise<void> {
    const { directory, keepPerTool, maxBytes, onProblem } = this.#options;
    for (const file of tooMany(this.#files, keepPerTool, maxBytes)) {
      try {
        await rm(`${directory}/${file.name}`, { force: true });
        this.#files = this.#files.filter(({ name }) => name !== file.name);
      } catch (error) {
        onProblem(`${file.name} could not be deleted: ${(error as Error).message}`);
      }
    }
  }

  async #read(file: Filed): Promise<Document | null> {
    const { directory, onProblem } = this.#options;
    const path = `${directory}/${file.name}`;
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      // Whatever hinders that now, the file may be as good as ever.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#forget(file);
      else onProblem(`${path} cannot be read now: ${(error as Error).message}`);
      return null;
    }
    try {
      return parse(text) as Document;
    } catch (error) {
      this.#forget(file);
      await setAside(path);
      onProblem(`${path} is damaged (${(error as Error).message}): it is set aside as ${path}${DAMAGED}`);
      return null;
    }
  }

  #forget({ name }: Filed): void {
    this.#files = this.#files.filter((file) => file.name !== name);
  }
}

const DAMAGED = '.damaged';
const DAMAGED_MOST = 3;

/** The oldest of them go. */
async function setAside(path: string): Promise<void> {
  await rename(path, `${path}${DAMAGED}`).catch(() => undefined);
  const directory = dirname(path);
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(DAMAGED)).sort();
  for (const name of names.slice(0, -DAMAGED_MOST))
    await rm(join(directory, name), { force: true }).catch(() => undefined);
}

/** Over the count of each tool, then over the bytes of all: the oldest go. */
function tooMany(files: readonly Filed[], keepPerTool: number, maxBytes: number): readonly Filed[] {
  const counts = new Map<string, number>();
  let bytes = 0;
  return files.toReversed().filter((file) => {
    const count = (counts.get(file.key) ?? 0) + 1;
    counts.set(file.key, count);
    if (count > keepPerTool) return true;
    bytes += file.bytes;
    return bytes > maxBytes;
  });
}

function readDirectory({ directory, onProblem }: PostMortemStoreOptions): Filed[] {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return readdirSync(directory)
      .flatMap((name): Filed[] => {
        // Of a daemon that died while it wrote.
        if (name.endsWith('.json.new')) rmSync(`${directory}/${name}`, { force: true });
        const [, at, id = '', key = ''] = FILE_NAME.exec(name) ?? [];
        return at === undefined
          ? []
          : [{ name, atMs: Number(at), id, key, bytes: statSync(`${directory}/${name}`).size }];
      })
      .sort(byTime);
  } catch (error) {
    onProblem(`${directory} cannot be read: ${(error as Error).message}`);
    return [];
  }
}

function byTime(a: Filed, b: Filed): number {
  return a.atMs - b.atMs || a.name.localeCompare(b.name);
}

function keyOf(tool: string): string {
  return createHash('sha256').update(tool).digest('hex').slice(0, 16);
}

/** @throws Error when it is not what was written */
function parse(text: string): Kept {
  const value = JSON.parse(text) as Partial<Kept> | null;
  const isOne =
    typeof value === 'object' &&
    value !== null &&
    value.version === 1 &&
    typeof value.id === 'string' &&
    typeof value.tool === 'string' &&
    typeof value.at === 'string' &&
    ['end', 'snapshot', 'limits', 'decisions', 'logs', 'recovery'].every((key) => key in value);
  if (!isOne) throw new Error('it is no post-mortem');
  return value as Kept;
}
