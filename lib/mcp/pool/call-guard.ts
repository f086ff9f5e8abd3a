/** Where admission, deadlines and accounting come in: around each request, once its process is known and ready. */

import type { ServedRun } from '../../supervisor/served.ts';
import type { Answer, RequestBody } from '../wire/message.ts';
import type { Client, Exchange } from '../wire/session.ts';

export interface Call {
  readonly tool: string;
  readonly client: Client;
  readonly request: RequestBody;
  /** Its CPU time can be read, its end listened for, and what holds calls back. */
  readonly run: ServedRun;
  /** Whether its server answers a ping in this time. Never rejects. */
  check(timeoutMs: number): Promise<boolean>;
}

export interface CallGuard {
  /**
   * @param send at most once; not at all where the request is refused
   * @returns the answer, or another one in its place. Never rejects.
   */
  around(call: Call, exchange: Exchange, send: (exchange: Exchange) => Promise<Answer>): Promise<Answer>;
}
