/** From the words of a command line to an exit code. */

import { CommanderError } from 'commander';
import { GovernorError } from '../../lib/core/errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { createProgram } from './program.ts';
import { reportError } from './report-error.ts';
import { hasRunFlag } from './run-flags.ts';
import type { Terminal } from './session.ts';
import { printable } from './text.ts';
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
  const json = words.includes('--json');
  const configure = (command: typeof program): void => {
    command.exitOverride().configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      // With --json the one document takes the place of the error and of the help after it.
      writeErr: (text) => void (json || terminal.stderr.write(text)),
      outputError: (text, write) => write(betterSuggestion(text.replace(/^error: /, 'governor: '))),
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
    refuseUnknownTopic(program, words);
    await program.parseAsync(words, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error, terminal.stderr, json);
    // Help and version end with 0, every mistake in the words with another code.
    if (error.exitCode === 0) return EXIT.ok;
    if (json) reportError(new GovernorError('invalid_request', mistakeIn(error)), terminal.stderr, true);
    return EXIT.usage;
  }
}

/** `governor help nonsense`: Commander prints the whole help and no word of what was wrong. */
function refuseUnknownTopic(program: ReturnType<typeof createProgram>, [first, topic]: readonly string[]): void {
  if (first !== 'help' || topic === undefined || topic.startsWith('-') || topic === 'help') return;
  const isKnown = program.commands.some((command) => command.name() === topic || command.aliases().includes(topic));
  if (!isKnown) program.error(`error: unknown command '${printable(topic)}'`, { code: 'commander.unknownCommand' });
}

/** What is alike in letters only. */
function betterSuggestion(text: string): string {
  return text.replace("unknown command 'top'\n(Did you mean stop?)", "unknown command 'top'\n(Did you mean usage?)");
}

function mistakeIn(error: CommanderError): string {
  if (error.code === 'commander.help') return 'a command is missing';
  return error.message.replace(/^error: /, '').split('\n', 1)[0] ?? '';
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
