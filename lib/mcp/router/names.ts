/**
 * Names of a merged view: `server__tool`. Pure, and the same for the same names of servers in any order or number, so that a model that
 * knew a name yesterday knows it today.
 *
 * The first separator in a merged name ends the server's part; whatever follows is the tool's own name, with as many separators as it
 * likes. A server whose name would break that, or has characters that names of tools should not have (2025-11-25 and 2026-07-28:
 * A-Z a-z 0-9 _ - . and at most 128), gets a part that is made of its name and of a hash of it.
 */

import { createHash } from 'node:crypto';
import { GovernorError } from '../../core/errors.ts';

export const DEFAULT_SEPARATOR = '__';
const NAME_MAX = 128;
const SEPARATOR = /^[_.-]{1,8}$/;
const ALLOWED = /^[A-Za-z0-9_.-]+$/;

export interface Target {
  readonly server: string;
  /** What follows the separator. */
  readonly rest: string;
}

export class MergedNames {
  readonly separator: string;
  readonly servers: readonly string[];
  readonly #serverOf = new Map<string, string>();
  readonly #partOf = new Map<string, string>();

  /** @throws GovernorError invalid_config for a separator that could not be told from a name */
  constructor(servers: readonly string[], separator: string) {
    if (!SEPARATOR.test(separator))
      throw new GovernorError('invalid_config', `the separator ${JSON.stringify(separator)} is not 1 to 8 of _ . -`);
    this.separator = separator;
    this.servers = servers;
    // Names that can be used as they are come first: no made-up part may take one of them.
    const made = servers.filter((server) => !isPlain(server, separator));
    for (const server of servers) if (!made.includes(server)) this.#add(server, server);
    for (const server of made) this.#add(server, this.#unused(server));
  }

  /** What a server's names begin with, without the separator. */
  partOf(server: string): string | undefined {
    return this.#partOf.get(server);
  }

  serverOf(part: string): string | undefined {
    return this.#serverOf.get(part);
  }

  /** Undefined: no server of this view has such names. */
  find(merged: string): Target | undefined {
    const at = merged.indexOf(this.separator);
    if (at === -1) return undefined;
    const server = this.#serverOf.get(merged.slice(0, at));
    return server === undefined ? undefined : { server, rest: merged.slice(at + this.separator.length) };
  }

  /** For names that have no rules: prompts, tasks. */
  join(server: string, name: string): string {
    return `${this.#partOf.get(server) ?? server}${this.separator}${name}`;
  }

  /** For tools: see `isMadeUp` for those that are not joined as they are. */
  joinTool(server: string, tool: string): string {
    const joined = this.join(server, tool);
    if (joined.length <= NAME_MAX && ALLOWED.test(tool)) return joined;
    const tail = `-${hash(tool, 8)}`;
    const head = this.join(server, tool.replace(/[^A-Za-z0-9_.-]/gu, '-'));
    return `${head.slice(0, NAME_MAX - tail.length)}${tail}`;
  }

  #add(server: string, part: string): void {
    this.#serverOf.set(part, server);
    this.#partOf.set(server, part);
  }

  #unused(server: string): string {
    for (let digits = 6; ; digits += 6) {
      const part = madePart(server, this.separator, digits);
      if (!this.#serverOf.has(part) || digits > 60) return part;
    }
  }
}

/** Whether what follows the separator may be a name that `joinTool` has made up. */
export function isMadeUp(rest: string): boolean {
  return /-[0-9a-f]{8}$/.test(rest);
}

function isPlain(server: string, separator: string): boolean {
  return ALLOWED.test(server) && `${server}${separator}`.indexOf(separator) === server.length;
}

function madePart(server: string, separator: string, digits: number): string {
  const stand = ['-', '_', '.'].find((character) => !separator.includes(character)) ?? 'x';
  const clean = server.replace(/[^A-Za-z0-9_.-]/gu, stand).replaceAll(separator, stand);
  return `${clean.slice(0, 40)}${stand}${hash(server, digits)}`;
}

function hash(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}
