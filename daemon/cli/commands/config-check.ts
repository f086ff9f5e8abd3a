/** `governor config check FILE`: every problem at once, nothing is used. Needs no daemon. */

import { formatProblem } from '../../../lib/core/errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { printable } from '../text.ts';

export async function configCheck(session: Session, file: string): Promise<ExitCode> {
  const { checkConfigFile } = await import('../../../config/load.ts');
  const checked = checkConfigFile(file, session.terminal.env);
  const problems = checked.ok ? [] : checked.error;
  if (session.json) session.print(JSON.stringify({ ok: problems.length === 0, problems }));
  else if (problems.length === 0) session.print(`${printable(file)}: valid`);
  else session.terminal.stderr.write(`${problems.map((problem) => printable(formatProblem(problem))).join('\n')}\n`);
  return problems.length === 0 ? EXIT.ok : EXIT.refused;
}
