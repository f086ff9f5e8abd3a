/** How long a command waits for the daemon that it, or another one, starts. */

import { GovernorError } from '../../lib/core/errors.ts';

export const START_TIMEOUT = 'GOVERNOR_START_TIMEOUT_SECONDS';

/** A busy machine takes its time; a daemon that cannot start says so at once by ending. The same in daemon/bin/governor. */
const DEFAULT_SECONDS = 60;

/** @throws GovernorError invalid_request: it is no whole number of seconds from 1 to 9999 */
export function startTimeoutMs(env: Readonly<Record<string, string | undefined>>): number {
  const text = env[START_TIMEOUT] ?? '';
  if (text === '') return DEFAULT_SECONDS * 1000;
  if (!/^[1-9]\d{0,3}$/.test(text))
    throw new GovernorError(
      'invalid_request',
      `${START_TIMEOUT}=${text}: write whole seconds, 1 to 9999, like ${DEFAULT_SECONDS}`,
    );
  return Number(text) * 1000;
}
