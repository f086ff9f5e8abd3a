/** Failures for people: one clear line, then one line a problem. */

import { formatProblem, GovernorError, type Problem } from '../../lib/core/errors.ts';
import { errorDocument } from '../api/problems.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Output } from './session.ts';
import { printable } from './text.ts';

/** With `json` the daemon's own problem document goes to stderr, on one line; stdout stays empty. */
export function reportError(error: unknown, stderr: Output, json: boolean): ExitCode {
  if (!(error instanceof GovernorError)) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    stderr.write(`governor: internal error: ${detail.split('\n').map(printable).join('\n')}\n`);
    return EXIT.refused;
  }
  const document = error.data['problem'];
  if (json) {
    stderr.write(`${typeof document === 'string' ? oneLine(document) : JSON.stringify(errorDocument(error))}\n`);
    return EXIT.refused;
  }
  // One line a mistake, where the message is of more than one.
  const [first = '', ...others] = error.message.split('\n');
  const lines = [
    `governor: ${first}`,
    ...others.map((line) => `  ${line}`),
    ...error.problems.flatMap((problem) => problemLines(error.message, problem)),
  ];
  stderr.write(`${lines.map(printable).join('\n')}\n`);
  return EXIT.refused;
}

/** The sentence itself often says the problem already: then only what it does not say is added. */
function problemLines(said: string, problem: Problem): readonly string[] {
  if (!said.includes(problem.message)) return [`  ${formatProblem(problem)}`];
  return problem.hint === undefined || said.includes(problem.hint) ? [] : [`  ${problem.hint}`];
}

function oneLine(document: string): string {
  return JSON.stringify(JSON.parse(document));
}
