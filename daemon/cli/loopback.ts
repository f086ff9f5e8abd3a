/** Where a browser on this machine is sent back to after a sign-in: a listener for one answer, then gone. */

import { timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GovernorError } from '../../lib/core/errors.ts';

const PATH = '/callback';
const LONGEST_CHARACTERS = 16_384;

export interface Loopback {
  readonly redirectUri: string;
  /** Resolves with the query of the first request that has this state; others are refused, and change nothing. */
  answer(state: string): Promise<string>;
  /** Tells the browser how it went. Null: well. */
  tell(failure: string | null): void;
  close(): void;
}

/** @param port 0: any @throws GovernorError port_taken */
export async function openLoopback(port: number): Promise<Loopback> {
  let expected: string | null = null;
  let waiting: ServerResponse | null = null;
  let arrived!: (query: string) => void;
  const answered = new Promise<string>((resolve) => (arrived = resolve));
  const server = createServer({ maxHeaderSize: 2 * LONGEST_CHARACTERS }, (request, response) => {
    const query = expected === null || waiting !== null ? null : queryOf(request, own, expected);
    if (query === null) return send(response, 404, 'This is not the sign-in that Governor waits for.');
    waiting = response;
    arrived(query);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new GovernorError('port_taken', `cannot listen on 127.0.0.1:${port}: ${error.message}`, { cause: error })),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  const own = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    redirectUri: `http://${own}${PATH}`,
    answer(state) {
      expected = state;
      return answered;
    },
    tell(failure) {
      if (waiting === null) return;
      if (failure === null) send(waiting, 200, 'You are signed in. This page can be closed.');
      else send(waiting, 502, 'The sign-in failed; the terminal says why. This page can be closed.');
    },
    close() {
      server.close();
      // An answer that is still on its way is let through.
      server.closeIdleConnections();
    },
  };
}

/** Null: it is not the answer. */
function queryOf(request: IncomingMessage, own: string, state: string): string | null {
  const { method, url = '', headers } = request;
  // Another name for this address is a page elsewhere that tries its luck.
  if (method !== 'GET' || headers.host !== own || url.length > LONGEST_CHARACTERS) return null;
  const [path, query = ''] = url.split('?', 2);
  if (path !== PATH) return null;
  const [given, wanted] = [Buffer.from(new URLSearchParams(query).get('state') ?? ''), Buffer.from(state)];
  return given.length === wanted.length && timingSafeEqual(given, wanted) ? query : null;
}

function send(response: ServerResponse, status: number, sentence: string): void {
  response
    .writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'",
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      connection: 'close',
    })
    .end(`<!doctype html><title>Governor</title><p>${sentence}</p>\n`);
}
