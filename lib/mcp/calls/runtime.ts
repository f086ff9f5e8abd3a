/**
 * A call and its runtime: told of progress and of questions on their way, cancelled by protocol when its time is over. Its
 * server is asked then whether it still answers: one that does has only lost the call.
 */

import type { CallCancellation } from '../../supervisor/open-calls.ts';
import type { ServedCall } from '../../supervisor/served-call.ts';
import type { Call } from '../pool/call-guard.ts';
import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Exchange } from '../wire/session.ts';
import { failure } from '../wire/text.ts';
import { labelOf } from './names.ts';

/** A server that computes may take its time; one that hangs must not keep its clients for long. */
const PING_MS = 5_000;

export async function withinRuntime(
  call: Call,
  exchange: Exchange,
  send: (exchange: Exchange) => Promise<Answer>,
): Promise<Answer> {
  let why: CallCancellation | null = null;
  const abort = new AbortController();
  const open = call.run.beginCall(
    () => labelOf(call.request),
    (cancellation) => {
      why = cancellation;
      abort.abort(new Error(cancellation.message));
    },
  );
  const { signal } = exchange;
  const onAbort = (): void => abort.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const answer = await send(watched(exchange, abort.signal, open)).finally(() => {
    signal.removeEventListener('abort', onAbort);
    open.end();
  });
  const cancellation = why as CallCancellation | null;
  if (cancellation === null) return answer;
  // Nobody waits for it: the client has its answer.
  void call.check(PING_MS).then((isAnswered) => open.checked(isAnswered));
  // What came in the same moment is an answer all the same.
  return answer.kind === 'result' || signal.aborted ? answer : expired(call, cancellation);
}

function watched(exchange: Exchange, signal: AbortSignal, call: ServedCall): Exchange {
  return {
    signal,
    notify(notification) {
      if (notification.method === 'notifications/progress') call.progressed();
      exchange.notify(notification);
    },
    async ask(request, signal) {
      const answered = call.asked();
      try {
        return await exchange.ask(request, signal);
      } finally {
        answered();
      }
    },
  };
}

function expired({ tool, run }: Call, { message, ...figures }: CallCancellation): Answer {
  return failure(RPC_CODE.deadline, `${tool}: ${message}`, {
    tool,
    run: run.id,
    resource: 'runtime',
    ...figures,
    // The limit is of each call: another one may be faster.
    retryAfterMs: 0,
  });
}
