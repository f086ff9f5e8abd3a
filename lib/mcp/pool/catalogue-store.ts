/**
 * Catalogues on disk, so that what a server offers can be seen after a restart of the daemon, before anything is started.
 * One file a server, named by the hash of its definition; readable by the owner only, because lists may tell of private things.
 */

import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Catalogue } from './catalogue.ts';
import type { Identity } from './identity.ts';

export interface Remembered {
  /** By fingerprint of the client's capabilities, oldest first. */
  readonly catalogues: Readonly<Record<string, Catalogue>>;
  /** The client that came last: a spare process is started for its like. */
  readonly client: Identity | null;
}

export interface CatalogueStore {
  /** Null: nothing is known, or what is there cannot be read. */
  read(server: string): Remembered | null;
  write(server: string, tool: string, remembered: Remembered): void;
}

/** Servers of former definitions; the newest are kept. */
const FILES_KEPT = 500;
const FORMAT = 1;

/** @param onProblem what could not be read or written, in words; the daemon goes on without it */
export function openCatalogueStore(directory: string, onProblem: (problem: string) => void): CatalogueStore {
  const attempt = <T>(what: string, work: () => T): T | null => {
    try {
      return work();
    } catch (error) {
      onProblem(`${what}: ${(error as Error).message}`);
      return null;
    }
  };
  attempt(directory, () => {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    prune(directory);
  });
  return {
    read(server) {
      const file = `${directory}/${server}.json`;
      return attempt(`${file} is ignored`, () => {
        let text: string;
        try {
          text = readFileSync(file, 'utf8');
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
          throw error;
        }
        return parse(text);
      });
    },
    write(server, tool, remembered) {
      const file = `${directory}/${server}.json`;
      attempt(`${file} could not be written`, () => {
        writeFileSync(`${file}.new`, JSON.stringify({ format: FORMAT, tool, ...remembered }), { mode: 0o600 });
        renameSync(`${file}.new`, file);
      });
    },
  };
}

/** @throws Error when it is not what `write` writes */
function parse(text: string): Remembered {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value) || value['format'] !== FORMAT || !isRecord(value['catalogues'])) throw new Error('no catalogue');
  for (const catalogue of Object.values(value['catalogues'])) {
    if (!isRecord(catalogue) || !isRecord(catalogue['lists']) || !isDescription(catalogue['server']))
      throw new Error('no catalogue');
  }
  const { client } = value;
  const known = isRecord(client) && isRecord(client['info']) && isRecord(client['capabilities']);
  return {
    catalogues: value['catalogues'] as unknown as Remembered['catalogues'],
    client: known ? (client as unknown as Identity) : null,
  };
}

function isDescription(value: unknown): boolean {
  return (
    isRecord(value) &&
    (value['era'] === 'legacy' || value['era'] === 'modern') &&
    typeof value['protocolVersion'] === 'string' &&
    isRecord(value['info']) &&
    isRecord(value['capabilities']) &&
    isRecord(value['raw'])
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function prune(directory: string): void {
  const files = readdirSync(directory).map((name) => `${directory}/${name}`);
  const byAge = files
    .map((file) => ({ file, changedMs: statSync(file).mtimeMs }))
    .toSorted((a, b) => b.changedMs - a.changedMs);
  for (const { file } of byAge.slice(FILES_KEPT)) rmSync(file, { force: true });
}
