/** One request to a process that is ready: through the guard, with the supervisor's reason where the process did not survive it. */

import type { Answer, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, Session } from '../wire/session.ts';
import { stopped } from './errors.ts';
import type { ServerProcess } from './process.ts';
import type { ToolPool } from './tool-pool.ts';
import { within } from './waiting.ts';

/** The reason of an end follows the end of the conversation within this time. */
const REASON_MS = 3_000;

export async function dispatch(
  pool: ToolPool,
  { process, session }: { readonly process: ServerProcess; readonly session: Session },
  client: Client,
  request: RequestBody,
  exchange: Exchange,
): Promise<Answer> {
  const { guard } = pool.options;
  process.begin();
  try {
    const answer =
      guard === null
        ? await session.request(request, exchange)
        : await guard.around({ tool: pool.name, client, request, run: process.run }, exchange, (on) =>
            session.request(request, on),
          );
    if (answer.kind === 'result' || answer.error.code !== RPC_CODE.stopped) return answer;
    const end = await within(process.ending, REASON_MS);
    return end === null ? answer : stopped(process.run, end, pool.retryAfterMs());
  } finally {
    process.finish();
  }
}
