/** A command line that is not valid: a line and where to read on, or with `--json` a problem document. */

import { GovernorError } from '../../lib/core/errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { reportError } from './report-error.ts';
import type { Session } from './session.ts';
import { printable } from './text.ts';

/** @param command after `governor`, as in `set` or `audit show` */
export function usageError(session: Session, command: string, message: string): ExitCode {
  const { stderr } = session.terminal;
  if (session.json) reportError(new GovernorError('invalid_request', message), stderr, true);
  else stderr.write(`governor ${command}: ${printable(message)}\n(see: governor ${command} --help)\n`);
  return EXIT.usage;
}
