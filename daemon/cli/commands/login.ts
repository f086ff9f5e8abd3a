/**
 * `governor login` and `logout`. The browser is sent back to this command, on the loopback address of the machine where it runs, and not
 * to the daemon: authorization servers let programs register loopback addresses only, and the daemon may listen on none, or be elsewhere.
 * What comes back is passed on to the daemon, which alone can redeem it.
 */

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { ToolView } from '../../../lib/supervisor/views.ts';
import { createClient, segment } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { openLoopback } from '../loopback.ts';
import type { Loopback } from '../loopback.ts';
import type { Session } from '../session.ts';
import { printable } from '../text.ts';

export interface LoginOptions {
  /** Of the address that the browser is sent back to; 0: any. */
  readonly port: number;
  /** The browser is on another machine: the address that it ends at is read from stdin. */
  readonly paste: boolean;
}

interface Begun {
  readonly authorizationUrl: string;
  readonly expiresAt: string;
}

export async function login(session: Session, name: string, options: LoginOptions): Promise<ExitCode> {
  const client = createClient(session.locations());
  const path = `/v1/tools/${segment(name)}/login`;
  const loopback = await openLoopback(options.port);
  const over = new AbortController();
  try {
    const begun = (await client.send('POST', path, { redirectUri: loopback.redirectUri })).body as Begun;
    show(session, name, begun, loopback.redirectUri, options.paste);
    const answer = await firstAnswer(session, loopback, begun, options.paste, over.signal);
    const reply = await client.send('POST', `${path}/answer`, { answer });
    loopback.tell(null);
    if (session.json) session.print(reply.text);
    else session.print(`${printable(name)}: signed in at ${printable((reply.body as ToolView).signIn?.issuer ?? '')}`);
    return EXIT.ok;
  } catch (error) {
    loopback.tell((error as Error).message);
    throw error;
  } finally {
    over.abort();
    loopback.close();
  }
}

export async function logout(session: Session, name: string): Promise<ExitCode> {
  const reply = await createClient(session.locations()).send('POST', `/v1/tools/${segment(name)}/logout`, {});
  const { tokens } = reply.body as { readonly tokens: keyof typeof TOKENS };
  if (session.json) session.print(reply.text);
  else session.print(`${printable(name)}: ${TOKENS[tokens]}`);
  // Somebody who holds a copy could still use it.
  return tokens === 'failed' ? EXIT.refused : EXIT.ok;
}

const TOKENS = {
  revoked: 'signed out; its tokens are revoked',
  not_offered: 'signed out; its server revokes no tokens: what was given out is good until it expires',
  failed: 'signed out here; its server could not be told to revoke the tokens: they are good until they expire',
  not_signed_in: 'nobody was signed in',
} as const;

function show(session: Session, name: string, begun: Begun, redirectUri: string, paste: boolean): void {
  if (session.json) return session.print(JSON.stringify({ ...begun, redirectUri }));
  session.print(
    `Open this address in a browser and sign in for ${printable(name)}:`,
    '',
    // Nothing of it is ever cut or coloured: it is copied.
    `  ${printable(begun.authorizationUrl)}`,
    '',
    paste
      ? 'When the browser cannot open the page that it ends at, paste that address here:'
      : `Waiting for the answer at ${redirectUri} until ${begun.expiresAt} (Ctrl-C gives up; browser elsewhere: --paste)`,
  );
}

/** @throws GovernorError sign_in_failed when nobody has answered in time */
async function firstAnswer(
  session: Session,
  loopback: Loopback,
  begun: Begun,
  paste: boolean,
  signal: AbortSignal,
): Promise<string> {
  const { terminal } = session;
  const state = new URL(begun.authorizationUrl).searchParams.get('state') ?? '';
  const leftMs = Math.max(0, Date.parse(begun.expiresAt) - terminal.now());
  const answer = await Promise.race([
    loopback.answer(state),
    ...(paste ? [pasted(session, signal)] : []),
    sleep(leftMs, null, { signal }),
    new Promise<null>((resolve) => terminal.interrupted.addEventListener('abort', () => resolve(null))),
  ]);
  if (answer === null) throw new GovernorError('sign_in_failed', `nobody has signed in until ${begun.expiresAt}`);
  return answer;
}

/** The query of the first line that has one; never settles when there is none. */
function pasted({ terminal }: Session, signal: AbortSignal): Promise<string> {
  const { input } = terminal.bytes;
  return new Promise((resolve) => {
    const lines = createInterface({ input, signal });
    lines.on('line', (line) => {
      const query = line.trim().split('?', 2)[1];
      if (query !== undefined) resolve(query);
      else terminal.stderr.write('governor: that is no address with an answer: it has a ? in it\n');
    });
    // It would keep the process.
    lines.on('close', () => input.destroy());
  });
}
