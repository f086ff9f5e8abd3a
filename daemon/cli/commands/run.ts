/**
 * `governor run`, as far as Node is concerned: bad flags are refused here, with a message, and good ones are the shell
 * launcher's. Node cannot become another program, so a run never goes through this process.
 */

import { ERRORS, formatProblem, GovernorError, type ErrorCode } from '../../../lib/core/errors.ts';
import { errorDocument } from '../../api/problems.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { parseRunArguments } from '../run-arguments.ts';
import { hasRunFlag } from '../run-flags.ts';
import type { Terminal } from '../session.ts';
import { printable } from '../text.ts';

/**
 * @param words the whole command line
 * @param runAt where `run` or `run-arguments` stands in it
 */
export async function runThroughNode(words: readonly string[], runAt: number, terminal: Terminal): Promise<ExitCode> {
  const own = words.slice(runAt + 1);
  if (words[runAt] === 'run-failure') return failureOfLauncher(own, terminal);
  const json = hasRunFlag(own, '--json') || words.slice(0, runAt).includes('--json');
  const parsed = parseRunArguments(own);
  if (!parsed.ok) {
    const lines = parsed.error.map((problem) => `governor run: ${printable(formatProblem(problem))}\n`);
    const message = parsed.error.map(formatProblem).join('; ');
    const error = new GovernorError('invalid_request', message, { problems: parsed.error });
    terminal.stderr.write(json ? jsonLine(error) : `${lines.join('')}(see: governor run --help)\n`);
    return EXIT.governorFailed;
  }
  if (words[runAt] === 'run-arguments') {
    terminal.stdout.write(`${JSON.stringify(parsed.value)}\n`);
    return EXIT.ok;
  }
  const why =
    runAt > 0
      ? `write options after run: governor run ${printable(words.slice(0, runAt).join(' '))} …`
      : 'a run is started by the script daemon/bin/governor, which becomes the tool; this is only its Node half';
  terminal.stderr.write(json ? jsonLine(new GovernorError('invalid_request', why)) : `governor run: ${why}\n`);
  return EXIT.governorFailed;
}

/** `run-failure EXIT CODE MESSAGE`: what the launcher found itself, with `--json`. */
function failureOfLauncher([exit = '', code = '', message = '']: readonly string[], terminal: Terminal): ExitCode {
  terminal.stderr.write(jsonLine(new GovernorError(isErrorCode(code) ? code : 'internal', message)));
  return exit === String(EXIT.notFound) ? EXIT.notFound : EXIT.governorFailed;
}

function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(ERRORS, word);
}

function jsonLine(error: GovernorError): string {
  return `${JSON.stringify(errorDocument(error))}\n`;
}
