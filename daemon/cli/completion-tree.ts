/** The command tree as the completion scripts need it. */

export interface CompletionOption {
  readonly long: string | null;
  readonly short: string | null;
  readonly description: string;
  /** null: takes no value. */
  readonly value: 'file' | 'directory' | 'tool' | 'choice' | 'text' | null;
  readonly choices: readonly string[];
}

export interface CompletionCommand {
  /** Words after `governor`; empty for the program itself. */
  readonly path: readonly string[];
  readonly description: string;
  readonly aliases: readonly string[];
  /** Aliases are listed like commands. */
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletionOption[];
  /** What the first argument is; null: there is none. */
  readonly argument: 'tool' | 'file' | 'shell' | 'command' | null;
}

export const SHELL_NAMES = 'bash zsh fish';

/** Every spelling of an option. */
export function spellings(option: CompletionOption): readonly string[] {
  return [option.short, option.long].filter((name) => name !== null);
}

/** Other paths that mean the same command: `ps` for `ls`. */
export function pathsOf(command: CompletionCommand): readonly string[] {
  const parent = command.path.slice(0, -1);
  return [command.path, ...command.aliases.map((alias) => [...parent, alias])].map((path) => path.join(' '));
}

/** A word in single quotes for any POSIX shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
