/** What all commands share: how they are added, options that stand anywhere, values of options. */

import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import type { ExitCode } from './exit-codes.ts';
import type { GlobalOptions, Session } from './session.ts';

export type Add = (parent: Command, spec: string, description: string, hidden?: boolean) => Command;
export type Act = (command: Command, action: (session: Session, args: Arguments) => Promise<ExitCode>) => void;

/** What commander parsed for one command. */
export interface Arguments {
  readonly positional: readonly unknown[];
  readonly options: Readonly<Record<string, unknown>>;
}

export function addGlobalOptions(command: Command): Command {
  return command
    .option('--config <file>', 'limits.yaml (GOVERNOR_CONFIG)')
    .option('--state-dir <dir>', 'state directory (GOVERNOR_STATE_DIR)')
    .option('--listen <address>', 'host:port of REST and metrics (GOVERNOR_LISTEN)')
    .option('--json', 'print the REST document');
}

/** An option counts wherever it stands, `governor --json ls` and `governor ls --json`; the innermost wins. */
export function globalOptions(command: Command): GlobalOptions {
  const find = finder(command);
  return {
    config: optional(find('config')),
    stateDir: optional(find('stateDir')),
    listen: optional(find('listen')),
    json: find('json') === true,
  };
}

export function finder(command: Command): (name: string) => unknown {
  const levels: Readonly<Record<string, unknown>>[] = [];
  for (let level: Command | null = command; level !== null; level = level.parent) levels.push(level.opts());
  return (name) => levels.find((level) => level[name] !== undefined)?.[name];
}

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Write a whole number from ${least} to ${most}.`);
  };
}

export function optional(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function numeric(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

export function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
