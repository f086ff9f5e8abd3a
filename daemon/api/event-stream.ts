/**
 * Server-sent events (WHATWG HTML section 9.2): kept events first, a mark, then live ones. Ids are `<daemon>.<number>`, so that a
 * client that resumes at another daemon is told of the gap instead of being given wrong events.
 */

import type { FastifyReply } from 'fastify';
import { GovernorError } from '../../lib/core/errors.ts';
import type { Governor } from '../../lib/supervisor/governor.ts';
import type { EventView } from '../../lib/supervisor/views.ts';
import type { ApiLogger } from './dependencies.ts';

export const MAX_STREAMS = 100;
/** Events that wait for a client that does not read. More than are ever kept, so a replay alone never cuts one off. */
export const MAX_WAITING_EVENTS = 20_000;

const WRITE_BATCH = 64;
const HEARTBEAT_MS = 15_000;
/** A client that lost its connection waits this long. */
const RETRY_MS = 2000;

export interface EventStreams {
  /** @param lastEventId as the client sent it, form checked; null for live events only */
  open(reply: FastifyReply, lastEventId: string | null): void;
  /** Ends every stream properly; no new one opens. */
  close(): void;
  count(): number;
}

interface Options {
  readonly governor: Pick<Governor, 'subscribe'>;
  readonly instance: string;
  readonly logger: ApiLogger;
  readonly heartbeatMs?: number | undefined;
}

export function createEventStreams({ governor, instance, logger, heartbeatMs = HEARTBEAT_MS }: Options): EventStreams {
  const open = new Set<() => void>();
  let closed = false;
  return {
    open(reply, lastEventId) {
      if (closed) throw new GovernorError('shutting_down', 'The daemon is shutting down');
      if (open.size >= MAX_STREAMS) {
        throw new GovernorError('too_many_streams', `${MAX_STREAMS} event streams are open; close one first`);
      }
      const end = startStream(reply, {
        governor,
        instance,
        logger,
        heartbeatMs,
        lastEventId,
        onEnd: () => open.delete(end),
      });
      open.add(end);
    },
    close() {
      closed = true;
      for (const end of open) end();
    },
    count: () => open.size,
  };
}

interface StreamOptions {
  readonly governor: Pick<Governor, 'subscribe'>;
  readonly instance: string;
  readonly logger: ApiLogger;
  readonly heartbeatMs: number;
  readonly lastEventId: string | null;
  readonly onEnd: () => void;
}

function startStream(reply: FastifyReply, options: StreamOptions): () => void {
  reply.hijack();
  const { raw } = reply;
  // Events wait as they are, shared by all streams; text is made only when it can be sent.
  const waiting: (EventView | string)[] = [];
  let ended = false;

  const canWrite = (): boolean => !ended && !raw.destroyed && !raw.writableNeedDrain;
  const pump = (): void => {
    while (canWrite() && waiting.length > 0) raw.write(waiting.splice(0, WRITE_BATCH).map(encode).join(''));
  };
  const push = (item: EventView | string): void => {
    if (ended) return;
    if (waiting.length >= MAX_WAITING_EVENTS) {
      options.logger.warn({ waiting: waiting.length }, 'an event stream was cut off: its client does not read');
      finish();
      raw.destroy();
      return;
    }
    waiting.push(item);
    pump();
  };
  const heartbeat = setInterval(() => {
    if (waiting.length === 0) push(': still here\n\n');
  }, options.heartbeatMs);
  let unsubscribe = (): void => undefined;
  const finish = (): void => {
    if (ended) return;
    ended = true;
    clearInterval(heartbeat);
    unsubscribe();
    options.onEnd();
  };

  raw.on('drain', pump);
  raw.once('close', finish);
  raw.on('error', (error) => options.logger.debug({ err: error }, 'an event stream broke'));
  raw.writeHead(200, { ...flat(reply.getHeaders()), 'content-type': 'text/event-stream; charset=utf-8' });
  push(`retry: ${RETRY_MS}\n\n`);
  unsubscribe = subscribe(options, push);
  // The replay itself may have ended the stream.
  if (ended) unsubscribe();
  push(': live\n\n');
  return () => {
    finish();
    raw.end();
  };
}

function subscribe(
  { governor, instance, lastEventId }: StreamOptions,
  onEvent: (event: EventView) => void,
): () => void {
  if (lastEventId === null) return governor.subscribe(null, onEvent);
  const dot = lastEventId.indexOf('.');
  const daemon = lastEventId.slice(0, Math.max(dot, 0));
  if (daemon === '' || daemon === instance) return governor.subscribe(Number(lastEventId.slice(dot + 1)), onEvent);
  onEvent({
    id: 0,
    daemon: instance,
    at: new Date().toISOString(),
    type: 'gap',
    tool: null,
    run: null,
    data: { reason: 'another_daemon', missed: null },
  });
  return governor.subscribe(0, onEvent);
}

/** Line breaks cannot occur: JSON escapes them, and types are words. */
function encode(event: EventView | string): string {
  if (typeof event === 'string') return event;
  return `id: ${event.daemon}.${event.id}\nevent: ${event.type.replaceAll(/[\r\n]/g, ' ')}\ndata: ${JSON.stringify(event)}\n\n`;
}

function flat(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
