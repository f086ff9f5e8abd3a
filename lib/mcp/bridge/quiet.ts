/** Requests of Governor's own, in the name of a client but not for it to see. */

import type { Answer, Fields } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Exchange, Session } from '../wire/session.ts';
import { failure } from '../wire/text.ts';

export function quietExchange(signal: AbortSignal): Exchange {
  return {
    signal,
    notify: () => undefined,
    ask: (): Promise<Answer> =>
      Promise.resolve(failure(RPC_CODE.methodNotFound, 'Governor itself asked this, and answers no questions')),
  };
}

/** @returns whether the server has done it, in time */
export function quietly(
  session: Pick<Session, 'request'>,
  method: string,
  params: Fields,
  timeoutMs: number,
): Promise<boolean> {
  const controller = new AbortController();
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      controller.abort(new Error(`no answer within ${timeoutMs} ms`));
      resolve(false);
    }, timeoutMs);
    timer.unref();
    void session.request({ method, params }, quietExchange(controller.signal)).then((answer) => {
      clearTimeout(timer);
      resolve(answer.kind === 'result');
    });
  });
}
