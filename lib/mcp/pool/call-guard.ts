/** Where admission, deadlines and accounting come in: around each request, once its process is known and ready. */

import type { ServedRun } from '../../supervisor/served.ts';
import type { Answer, RequestBody } from '../wire/message.ts';
import type { Client, Exchange } from '../wire/session.ts';

export interface Call {
  readonly tool: string;
  readonly client: Client;
  readonly request: RequestBody;
  /** Its stage and CPU time can be read, and its end listened for. */
  readonly run: ServedRun;
}

export interface CallGuard {
  /**
   * @param send at most once; not at all where the request is refused
   * @returns the answer, or another one in its place. Never rejects.
   */
  around(call: Call, exchange: Exchange, send: (exchange: Exchange) => Promise<Answer>): Promise<Answer>;
}
