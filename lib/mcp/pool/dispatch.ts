/** One request to a process that is ready: through the guard, with the supervisor's reason where the process did not survive it. */

import type { Answer, RequestBody, RpcError } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, Session } from '../wire/session.ts';
import { lostAnswer, stopped } from './errors.ts';
import type { ServerProcess } from './process.ts';
import type { ToolPool } from './tool-pool.ts';
import { within } from './waiting.ts';

/** The reason of an end follows the end of the conversation within this time. */
const REASON_MS = 3_000;
/** Cleanup after a process that has ended by itself takes some milliseconds. */
const EXIT_MS = 1_000;

export async function dispatch(
  pool: ToolPool,
  { process, session }: { readonly process: ServerProcess; readonly session: Session },
  client: Client,
  request: RequestBody,
  exchange: Exchange,
): Promise<Answer> {
  const { guard } = pool.options;
  process.begin();
  process.owed.asked(request);
  try {
    const answer =
      guard === null
        ? await session.request(request, exchange)
        : await guard.around(
            {
              tool: pool.name,
              client,
              request,
              run: process.run,
              check: (timeoutMs) => process.upstream.check(timeoutMs).catch(() => false),
            },
            exchange,
            (on) => session.request(request, on),
          );
    process.owed.answered(answer);
    if (answer.kind === 'result' || answer.error.code !== RPC_CODE.stopped) return answer;
    if (process.run.ending === null && process.upstream.state.kind === 'ready') {
      process.suspect();
      return unreached(pool.name, process, answer.error);
    }
    const end = await within(process.ending, REASON_MS);
    if (end === null) return unreached(pool.name, process, answer.error);
    // The look at its tree may have come before the word of its exit.
    if (end.reason === 'exited' && process.run.exit === 'unknown') await within(process.ended, EXIT_MS);
    return stopped(process.run, end, pool.retryAfterMs(process.run));
  } finally {
    process.finish();
  }
}

/** The conversation goes on, but this request was lost on its way. */
function unreached(tool: string, { run }: ServerProcess, { code, message, data }: RpcError): Answer {
  const more = typeof data === 'object' && data !== null ? data : {};
  return lostAnswer(code, `${tool}: ${message}`, { tool, run: run.id, retryAfterMs: 0, ...more });
}
