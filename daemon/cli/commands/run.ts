/**
 * `governor run`, as far as Node is concerned: bad flags are refused here, with a message, and good ones are the shell
 * launcher's. Node cannot become another program, so a run never goes through this process.
 */

import { formatProblem } from '../../../lib/core/errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { parseRunArguments } from '../run-arguments.ts';
import type { Terminal } from '../session.ts';
import { printable } from '../text.ts';

/**
 * @param words the whole command line
 * @param runAt where `run` or `run-arguments` stands in it
 */
export async function runThroughNode(words: readonly string[], runAt: number, terminal: Terminal): Promise<ExitCode> {
  const parsed = parseRunArguments(words.slice(runAt + 1));
  if (!parsed.ok) {
    const lines = parsed.error.map((problem) => `governor run: ${printable(formatProblem(problem))}\n`);
    terminal.stderr.write(`${lines.join('')}(see: governor run --help)\n`);
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
  terminal.stderr.write(`governor run: ${why}\n`);
  return EXIT.governorFailed;
}
