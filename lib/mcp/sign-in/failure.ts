/** What the SDK throws, as a sentence for people in which no secret is. Loaded with the SDK. */

import { OAuthError, OAuthErrorCode, RegistrationRejectedError } from '@modelcontextprotocol/client';

const LONGEST = 300;
const SERVER_ERROR: string = OAuthErrorCode.ServerError;
/** Refused for now: what was sent may be good all the same. */
const PASSING: ReadonlySet<string> = new Set<string>([
  SERVER_ERROR,
  OAuthErrorCode.TemporarilyUnavailable,
  OAuthErrorCode.TooManyRequests,
]);

/** Null: it was not refused, something else went wrong. @returns the code of the refusal */
export function refusalOf(error: unknown): string | null {
  return error instanceof OAuthError && !PASSING.has(error.code) ? error.code : null;
}

/** @param secrets as they were sent: an answer may repeat them */
export function reasonOf(error: unknown, secrets: readonly string[]): string {
  let text = plain(error);
  for (const secret of secrets) text = text.replaceAll(secret, '***');
  text = text.replaceAll(/\s+/g, ' ').trim();
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

function plain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof RegistrationRejectedError)
    return `it does not register Governor (HTTP ${error.status}); give auth a client_id that it knows`;
  if (error instanceof OAuthError) {
    // Behind this comes the whole answer, whatever it is.
    if (error.code === SERVER_ERROR)
      return error.message.split('Invalid OAuth error response')[0]?.replace(/: $/, '') || error.code;
    return error.message === '' || error.message === error.code ? error.code : `${error.code}: ${error.message}`;
  }
  if (error.name === 'TimeoutError') return 'it has not answered in time';
  if (error instanceof SyntaxError) return 'it answered with something that is no JSON';
  if ('issues' in error) return 'it answered with something else than OAuth says';
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
