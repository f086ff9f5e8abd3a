import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import t from 'tap';
import { MAX_STREAMS, MAX_WAITING_EVENTS } from '../../../../daemon/api/event-stream.ts';
import { FAKE_DAEMON } from '../../../helpers/fake-governor.ts';
import { overTcp, overUnix, serve, TOKEN } from './serve.ts';
import type { Served } from './serve.ts';

interface Stream {
  readonly response: IncomingMessage;
  /** Resolves when the text so far matches. */
  until(pattern: RegExp): Promise<string>;
  /** Resolves when that many more events have come; drops their text. */
  swallow(events: number): Promise<void>;
  /** Resolves when the stream has ended, properly or not. */
  readonly ended: Promise<'ended' | 'broken'>;
  destroy(): void;
}

function open(served: Served, path = '/v1/events', headers: Readonly<Record<string, string>> = {}): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: served.port,
        path,
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        agent: false,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        const ended = new Promise<'ended' | 'broken'>((done) => {
          response.once('end', () => done('ended'));
          response.once('error', () => done('broken'));
        });
        resolve({
          response,
          ended,
          destroy: () => void response.destroy(),
          async swallow(events) {
            for (let left = events; ;) {
              const at = text.lastIndexOf('\n\n') + 2;
              left -= text.slice(0, at).match(/^id: /gm)?.length ?? 0;
              text = text.slice(at);
              if (left <= 0) return;
              await once(response, 'data');
            }
          },
          until: (pattern) =>
            new Promise((found) => {
              const look = (): void => {
                if (!pattern.test(text)) return;
                response.off('data', look);
                found(text);
              };
              response.on('data', look);
              look();
            }),
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Ids and types in the order in which they came. */
function seen(text: string): readonly string[] {
  return [...text.matchAll(/^id: (\S+)\nevent: (\S+)\ndata: (.+)$/gm)].map(([, id, type, data]) => {
    JSON.parse(data ?? '');
    return `${id} ${type}`;
  });
}

t.test('live events, then resumed by Last-Event-ID or by query', async (t) => {
  const served = await serve(t);
  served.governor.emit('before');
  const stream = await open(served);
  t.equal(stream.response.statusCode, 200);
  t.equal(stream.response.headers['content-type'], 'text/event-stream; charset=utf-8');
  t.equal(stream.response.headers['cache-control'], 'no-store');
  t.match(await stream.until(/: live/), /^retry: 2000\n\n: live\n\n$/, 'kept events come only when they are asked for');
  served.governor.emit('stage', { text: 'two\nlines\r and more' }, 'echo');
  served.governor.emit('action');
  const text = await stream.until(/event: action\ndata: .*\n\n/);
  t.strictSame(seen(text), [`${FAKE_DAEMON}.2 stage`, `${FAKE_DAEMON}.3 action`]);
  t.match(text, String.raw`"text":"two\nlines\r and more"`);
  stream.destroy();
  served.governor.emit('while_away');

  const expected = [`${FAKE_DAEMON}.3 action`, `${FAKE_DAEMON}.4 while_away`];
  for (const [path, headers] of [
    ['/v1/events', { 'last-event-id': `${FAKE_DAEMON}.2` }],
    ['/v1/events', { 'last-event-id': '2' }],
    [`/v1/events?last_event_id=${FAKE_DAEMON}.2`, {}],
    ['/v1/events?last_event_id=2', {}],
    ['/v1/events?last_event_id=0', { 'last-event-id': '2' }],
  ] as const) {
    const resumed = await open(served, path, headers);
    t.strictSame(seen(await resumed.until(/: live/)), expected, `${path} ${JSON.stringify(headers)}`);
    resumed.destroy();
  }
});

t.test('who comes back to another daemon is told of the gap, then gets what is kept', async (t) => {
  const served = await serve(t);
  served.governor.emit('first');
  const stream = await open(served, '/v1/events', { 'last-event-id': 'earlier0.900' });
  const text = await stream.until(/: live/);
  t.strictSame(seen(text), [`${FAKE_DAEMON}.0 gap`, `${FAKE_DAEMON}.1 first`]);
  t.match(text, '"reason":"another_daemon"');
  stream.destroy();
});

t.test('an idle stream gets comments, and a client that left is forgotten', async (t) => {
  const served = await serve(t, { heartbeatMs: 10 });
  const stream = await open(served);
  await stream.until(/(: still here\n\n){2}/);
  t.equal(served.governor.listeners, 1);
  stream.destroy();
  await gone(served);
  t.equal(served.governor.listeners, 0);
});

t.test('a client that does not read is cut off, and nobody else notices', async (t) => {
  const served = await serve(t);
  const reader = await open(served);
  await reader.until(/: live/);
  const stuck = connect(served.port, '127.0.0.1');
  stuck.pause();
  stuck.on('error', () => undefined);
  stuck.write(`GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
  while (served.governor.listeners < 2) await new Promise((resolve) => setImmediate(resolve));

  const data = { padding: 'x'.repeat(2000) };
  let sent = 0;
  while (served.governor.listeners === 2 && sent < 4 * MAX_WAITING_EVENTS) {
    for (let index = 0; index < 500; index += 1) served.governor.emit('flood', data);
    sent += 500;
    // The healthy client gets to read.
    await reader.swallow(500);
  }
  t.equal(served.governor.listeners, 1, `cut off within ${sent} events`);
  t.ok(served.logged.includes('warn an event stream was cut off: its client does not read'));
  served.governor.emit('after');
  t.ok(await reader.until(/event: after/));
  reader.destroy();
  stuck.destroy();
});

t.test('a long replay alone never cuts a client off', async (t) => {
  const served = await serve(t);
  for (let index = 0; index < 10_000; index += 1) served.governor.emit('kept', { index });
  const stream = await open(served, '/v1/events?last_event_id=0');
  t.equal(seen(await stream.until(/: live/)).length, 10_000);
  stream.destroy();
});

t.test('the number of streams is bounded, and one that closes makes room', async (t) => {
  const served = await serve(t);
  const streams = await Promise.all(Array.from({ length: MAX_STREAMS }, () => open(served)));
  const refused = await overUnix(served, '/v1/events');
  t.equal(refused.status, 429);
  t.equal(refused.json['code'], 'too_many_streams');
  streams[0]?.destroy();
  while (served.governor.listeners === MAX_STREAMS) await new Promise((resolve) => setImmediate(resolve));
  const next = await open(served);
  t.equal(next.response.statusCode, 200);
  for (const stream of [...streams, next]) stream.destroy();
});

t.test('HEAD opens no stream', async (t) => {
  const served = await serve(t);
  t.equal((await overTcp(served, '/v1/events', { method: 'HEAD' })).status, 200);
  t.equal(served.governor.listeners, 0);
});

t.test('closing the API ends streams properly', async (t) => {
  const served = await serve(t);
  const stream = await open(served);
  await stream.until(/: live/);
  await served.front.close();
  t.equal(await stream.ended, 'ended');
  t.equal(served.governor.listeners, 0);
});

async function gone(served: Served): Promise<void> {
  while (served.governor.listeners > 0) await new Promise((resolve) => setImmediate(resolve));
}
