/** From the words of a command line to an exit code. */

import { CommanderError } from 'commander';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { createProgram } from './program.ts';
import { reportError } from './report-error.ts';
import { hasRunFlag } from './run-flags.ts';
import type { Terminal } from './session.ts';
import { governorVersion } from './version.ts';

/** @param words without the interpreter and the script */
export async function main(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const runAt = indexOfRun(words);
  if (runAt !== null && !['--help', '-h'].some((flag) => hasRunFlag(words.slice(runAt + 1), flag))) {
    const { runThroughNode } = await import('./commands/run.ts');
    return runThroughNode(words, runAt, terminal);
  }
  let code: ExitCode = EXIT.ok;
  const program = createProgram(terminal, governorVersion(), (finished) => {
    code = finished;
  });
  const configure = (command: typeof program): void => {
    command.exitOverride().configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'governor: ')),
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
    command.showHelpAfterError(`(see: ${pathOf(command)} --help)`);
    command.commands.forEach(configure);
  };
  configure(program);
  try {
    await program.parseAsync(words, { from: 'user' });
    return code;
  } catch (error) {
    // Help and version end with 0, every mistake in the words with another code.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return reportError(error, terminal.stderr, words.includes('--json'));
  }
}

function pathOf(command: { readonly parent: unknown; name(): string }): string {
  const parent = command.parent as typeof command | null;
  return parent === null ? command.name() : `${pathOf(parent)} ${command.name()}`;
}

const RUN_WORDS: ReadonlySet<string> = new Set(['run', 'run-arguments', 'run-failure']);
const GLOBAL_WITH_VALUE: ReadonlySet<string> = new Set(['--config', '--state-dir', '--listen']);

/** Where `run` stands when it is the command; global options may come before it. */
function indexOfRun(words: readonly string[]): number | null {
  let index = 0;
  while (index < words.length) {
    const word = words[index] ?? '';
    if (!word.startsWith('-')) return RUN_WORDS.has(word) ? index : null;
    index += GLOBAL_WITH_VALUE.has(word) ? 2 : 1;
  }
  return null;
}
