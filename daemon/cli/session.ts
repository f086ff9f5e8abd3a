/** What a command gets to work with: the terminal, the global options, the daemon's address. Nothing here is global. */

import { resolveLocations, type Locations } from './locations.ts';
import type { Readable, Writable } from 'node:stream';
import { createStyle, wantsColour, type Style } from './style.ts';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** The process as the command line sees it. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly platform: NodeJS.Platform;
  readonly stdout: Output;
  readonly stderr: Output;
  /** Bytes as they are, for `connect`: stdin, and the stream behind `stdout`. */
  readonly bytes: { readonly input: Readable; readonly output: Writable };
  /** Absolute path of the compiled entry, for starting a daemon. */
  readonly entry: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Aborted when the reader of the output is gone: what would go on for ever ends. */
  readonly interrupted: AbortSignal;
}

export interface GlobalOptions {
  readonly config: string | null;
  readonly stateDir: string | null;
  readonly listen: string | null;
  readonly json: boolean;
}

export interface Session {
  readonly terminal: Terminal;
  readonly options: GlobalOptions;
  readonly json: boolean;
  readonly style: Style;
  /** @throws GovernorError('state_dir') */
  locations(): Locations;
  /** Writes lines to stdout. */
  print(...lines: readonly string[]): void;
}

export function createSession(terminal: Terminal, options: GlobalOptions): Session {
  return {
    terminal,
    options,
    json: options.json,
    style: createStyle(wantsColour(terminal.stdout.isTTY === true, terminal.env)),
    locations: () => resolveLocations(options, terminal),
    print(...lines) {
      if (lines.length > 0) terminal.stdout.write(`${lines.join('\n')}\n`);
    },
  };
}
