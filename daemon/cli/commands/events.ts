/** `governor events`. */

import { GovernorError } from '../../../lib/core/errors.ts';
import type { EventView } from '../../../lib/supervisor/views.ts';
import { createClient, query } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { readServerSentEvents } from '../sse.ts';
import { printable } from '../text.ts';

/** The daemon's mark between what it kept and what happens now (daemon/api/event-stream.ts). */
const LIVE_MARK = 'live';

/** Events that are kept, then, with `follow`, what happens until it is interrupted or the daemon ends. */
export async function events(session: Session, follow: boolean, sinceId: number | null): Promise<ExitCode> {
  const { interrupted } = session.terminal;
  const finished = new AbortController();
  const signal = AbortSignal.any([interrupted, finished.signal]);
  try {
    const stream = await createClient(session.locations()).stream(
      `/v1/events${query({ last_event_id: sinceId ?? 0 })}`,
      { accept: 'text/event-stream' },
      signal,
    );
    stream.setEncoding('utf8');
    for await (const item of readServerSentEvents(stream as AsyncIterable<string>)) {
      if ('comment' in item) {
        if (item.comment === LIVE_MARK && !follow) return EXIT.ok;
        continue;
      }
      session.print(session.json ? item.data : eventLine(JSON.parse(item.data) as EventView, session));
    }
  } catch (error) {
    if (interrupted.aborted) return EXIT.ok;
    throw error instanceof GovernorError || !isConnectionLoss(error)
      ? error
      : new GovernorError('daemon_unreachable', 'the daemon broke off the event stream', { cause: error });
  } finally {
    finished.abort();
  }
  if (interrupted.aborted) return EXIT.ok;
  session.terminal.stderr.write('governor: the daemon ended the event stream\n');
  return EXIT.refused;
}

/** `17  2026-01-31T12:00:00.000Z  stage  everything/a1b2c3d4e5  resource=memory from=normal to=warning` */
export function eventLine(event: EventView, session: Pick<Session, 'style'>): string {
  const who = [event.tool, event.run].filter((part) => part !== null).join('/');
  const data = Object.entries(event.data).flatMap(([key, value]) =>
    // Who it is about stands there already.
    (key === 'tool' && value === event.tool) || (key === 'run' && value === event.run)
      ? []
      : [`${key}=${plain(value)}`],
  );
  const { dim, bold } = session.style;
  return [String(event.id), dim(event.at), bold(printable(event.type)), printable(who), printable(data.join(' '))]
    .filter((part) => part !== '')
    .join('  ');
}

/** Words stay words; everything else as JSON. */
function plain(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

function isConnectionLoss(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'EPIPE';
}
