/** The REST API of a real daemon over TCP: bad input, event streams that resume, and a document that tells the truth. */

import { connect } from 'node:net';
import t from 'tap';
import { addressOf, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { waitFor } from '../helpers/wait-for.ts';

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly text: string;
}

t.test('bad input is refused with a stable code, and nothing of it stays', async (t) => {
  const daemon = await startDaemon(t);
  const send = sender(daemon);
  const body = (value: unknown): string => JSON.stringify(value);
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  const cases: readonly [string, string, string | undefined, number, string][] = [
    ['POST', '/v1/tools', undefined, 400, 'invalid_request'],
    ['POST', '/v1/tools', '', 400, 'invalid_request'],
    ['POST', '/v1/tools', '{"name":', 400, 'invalid_request'],
    ['POST', '/v1/tools', 'null', 400, 'invalid_request'],
    ['POST', '/v1/tools', '[]', 400, 'invalid_request'],
    ['POST', '/v1/tools', '"text"', 400, 'invalid_request'],
    ['POST', '/v1/tools', '{}', 400, 'invalid_request'],
    ['POST', '/v1/tools', deep, 400, 'invalid_request'],
    ['POST', '/v1/tools', '{"__proto__":{"name":"a"},"command":"true"}', 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 7, command: 'true' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: ['true'] }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', args: 'x' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', args: ['a\u0000b'] }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', cwd: 'relative' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', colour: 'red' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', limits: { memory: '512M' } }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', limits: { memory: -1 } }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', limits: { tasks: 0 } }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a', command: 'true', url: 'https://example.org' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'a/b', command: 'true' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: 'x'.repeat(65), command: 'true' }), 400, 'invalid_request'],
    ['POST', '/v1/tools', body({ name: '', command: 'true' }), 400, 'invalid_request'],
    ['GET', '/v1/tools/unknown', undefined, 404, 'unknown_tool'],
    ['GET', '/v1/tools/unknown/usage', undefined, 404, 'unknown_tool'],
    ['GET', '/v1/tools/unknown/processes', undefined, 404, 'unknown_tool'],
    ['POST', '/v1/tools/unknown/activate', '{}', 404, 'unknown_tool'],
    ['POST', '/v1/tools/unknown/deactivate', '{}', 404, 'unknown_tool'],
    ['POST', '/v1/tools/unknown/restart', '{}', 404, 'unknown_tool'],
    ['POST', '/v1/tools/unknown/cleanup', '{}', 404, 'unknown_tool'],
    ['PATCH', '/v1/tools/unknown', '{"limits":{"memory":"1GiB"}}', 404, 'unknown_tool'],
    ['DELETE', '/v1/tools/unknown', undefined, 404, 'unknown_tool'],
    ['GET', '/v1/tools/..%2f..%2fetc', undefined, 400, 'invalid_name'],
    ['GET', `/v1/tools/${'x'.repeat(300)}`, undefined, 400, 'invalid_name'],
    ['GET', '/v1/tools/%ff%fe', undefined, 400, 'invalid_request'],
    ['GET', '/v1/runs/unknown', undefined, 404, 'unknown_run'],
    ['DELETE', '/v1/contexts/unknown', undefined, 404, 'unknown_context'],
    ['PATCH', '/v1/tools/known', '{"limits":{"memory":"lots"}}', 400, 'invalid_request'],
    ['PATCH', '/v1/tools/known', '{"limits":{"happiness":1}}', 400, 'invalid_request'],
    ['PATCH', '/v1/tools/known', '{"command":"rm"}', 400, 'invalid_request'],
    ['POST', '/v1/tools/known/activate', '{"context":7}', 400, 'invalid_request'],
    ['POST', '/v1/tools/known/deactivate', '{"run":"unknown"}', 404, 'unknown_run'],
    ['POST', '/v1/tools', body({ name: 'known', command: 'true' }), 409, 'tool_exists'],
    ['GET', '/v1/tools?unknown=1', undefined, 400, 'invalid_request'],
    ['GET', '/v1/audit?limit=0', undefined, 400, 'invalid_request'],
    ['GET', '/v1/audit?limit=1e9', undefined, 400, 'invalid_request'],
    ['GET', '/v1/audit?since=yesterday', undefined, 400, 'invalid_request'],
    ['GET', '/v1/audit?kind=nonsense', undefined, 400, 'invalid_request'],
    ['GET', '/v1/events?last_event_id=../x', undefined, 400, 'invalid_request'],
    ['GET', '/v1/nothing', undefined, 404, 'not_found'],
    ['PUT', '/v1/tools', '{}', 405, 'method_not_allowed'],
    ['POST', '/v1/daemon/stop', '{"stopTools":"yes"}', 400, 'invalid_request'],
  ];
  t.equal((await send('POST', '/v1/tools', body({ name: 'known', command: 'cat', readiness: 'none' }))).status, 201);
  for (const [method, path, text, status, code] of cases) {
    const answer = await send(method, path, text);
    t.match(
      { status: answer.status, code: answer.code },
      { status, code },
      `${method} ${path.slice(0, 60)} ${(text ?? '').slice(0, 60)}: ${answer.text.slice(0, 200)}`,
    );
  }
  t.equal((await send('POST', '/v1/tools', 'name=a', 'application/x-www-form-urlencoded')).status, 415);
  t.equal((await send('POST', '/v1/tools', '{"name":"a","command":"true"}', 'text/plain')).status, 415);
  const { tools } = (await daemon.call('GET', '/v1/tools')).json as { tools: { name: string }[] };
  t.same(
    tools.map(({ name }) => name),
    ['known'],
    'nothing was made',
  );
  t.same(
    (await daemon.call('GET', '/v1/tools/known')).json.limits.find(
      ({ resource }: { resource: string }) => resource === 'memory',
    ).limit !== null,
    true,
  );
});

t.test('requests that are too large, too slow or no HTTP', async (t) => {
  const daemon = await startDaemon(t);
  const send = sender(daemon);
  const { url, token } = addressOf(daemon);
  const { hostname, port, host } = new URL(url);
  const huge = await send(
    'POST',
    '/v1/tools',
    JSON.stringify({ name: 'a', command: 'true', args: ['x'.repeat(2 ** 21)] }),
  );
  t.match({ status: huge.status, code: huge.code }, { status: 413, code: 'too_large' });
  const speak = (lines: readonly string[]): Promise<string> => rawRequest(hostname, Number(port), lines.join('\r\n'));
  const authorization = `Authorization: Bearer ${token}`;
  t.match(
    await speak(['GET /v1/tools HTTP/1.1', `Host: ${host}`, `X-Long: ${'x'.repeat(40_000)}`, '', '']),
    /^HTTP\/1\.1 431 /,
  );
  t.match(await speak(['this is not HTTP', '', '']), /^HTTP\/1\.1 400 /);
  t.match(
    await speak(['GET /v1/tools HTTP/1.1', authorization, 'Connection: close', '', '']),
    /^HTTP\/1\.1 400 /,
    'without Host',
  );
  for (const foreign of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1:1',
    `127.0.0.1.evil.example:${port}`,
    `evil.example@127.0.0.1:${port}`,
  ]) {
    t.match(
      await speak(['GET /v1/tools HTTP/1.1', `Host: ${foreign}`, authorization, 'Connection: close', '', '']),
      /^HTTP\/1\.1 4(00|03) /,
      `Host ${foreign}`,
    );
  }
  for (const own of [host, `localhost:${port}`])
    t.match(
      await speak(['GET /v1/tools HTTP/1.1', `Host: ${own}`, authorization, 'Connection: close', '', '']),
      /^HTTP\/1\.1 200 /,
      `Host ${own}`,
    );
  t.match(
    await speak([
      'POST /v1/tools HTTP/1.1',
      `Host: ${host}`,
      authorization,
      'Content-Type: application/json',
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      'Connection: close',
      '',
      '0',
      '',
      '',
    ]),
    /^HTTP\/1\.1 400 /,
    'two lengths',
  );
  const halves = Array.from({ length: 50 }, () => connect(Number(port), hostname).on('error', () => undefined));
  for (const half of halves) half.write('POST /v1/tools HTTP/1.1\r\nHost: ');
  t.equal((await send('GET', '/v1/tools')).status, 200, 'half requests hold nobody up');
  for (const half of halves) half.destroy();
  t.equal((await daemon.call('GET', '/healthz')).status, 200);
  t.notMatch(daemon.output(), /"level":"error"/, 'none of it is an error of the daemon');
});

t.test('an event stream resumes with Last-Event-ID without loss', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  const send = sender(daemon);
  let serial = 0;
  const happen = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      const name = `tool ${(serial += 1)}`;
      await send('POST', '/v1/tools', JSON.stringify({ name, command: 'true' }));
      await send('DELETE', `/v1/tools/${encodeURIComponent(name)}`);
    }
  };
  const whole = await openEvents(t, daemon, null);
  await happen(5);
  const first = await openEvents(t, daemon, '0');
  await waitFor('the kept events', () => first.tools().includes('tool 5'));
  const last = first.events().at(-1)?.id ?? '';
  first.close();
  await happen(20);
  const second = await openEvents(t, daemon, last);
  await happen(5);
  await waitFor('the live events', () => second.tools().filter((tool) => tool === 'tool 30').length > 1);
  await waitFor(
    'them on the one that was never cut',
    () => whole.tools().filter((tool) => tool === 'tool 30').length > 1,
  );
  const ids = [...first.events(), ...second.events()].map(({ id }) => Number(id.split('.').at(-1)));
  t.same(
    ids,
    ids.map((_, index) => (ids[0] ?? 0) + index),
    'no event is missing, none comes twice',
  );
  t.same(
    second.events().map(({ data }) => data),
    whole
      .events()
      .slice(-second.events().length)
      .map(({ data }) => data),
    'and they are the same',
  );
  const header = await fetch(`${addressOf(daemon).url}/v1/events`, {
    headers: { authorization: `Bearer ${addressOf(daemon).token}`, 'last-event-id': 'other-daemon.7' },
  });
  const reader = header.body?.getReader();
  let text = '';
  while (!text.includes(': live')) text += Buffer.from((await reader?.read())?.value ?? []).toString();
  await reader?.cancel();
  t.match(text, /event: gap/, 'an id of another daemon is answered by a gap and all that is kept');
});

t.test('the OpenAPI document and the routes that are served are the same', async (t) => {
  const daemon = await startDaemon(t);
  const document = (await daemon.call('GET', '/openapi.json')).json as {
    openapi: string;
    paths: Record<string, Record<string, unknown>>;
  };
  t.match(document.openapi, /^3\.1\./);
  const send = sender(daemon);
  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  );
  t.ok(documented.length >= 25, `${documented.length} operations`);
  for (const { method, path } of documented) {
    const filled = path.replaceAll(/\{[^}]+\}/g, 'unknown');
    if (path === '/v1/events' || path === '/v1/daemon/stop') continue;
    const { code } = await send(method, filled, method === 'GET' || method === 'DELETE' ? undefined : '{"unknown":1}');
    const served =
      path === '/docs/{file}' ? code === 'not_found' : code !== 'not_found' && code !== 'method_not_allowed';
    t.ok(served, `${method} ${path}: ${code}`);
  }
  for (const path of Object.keys(document.paths)) {
    const { headers } = await fetch(`${addressOf(daemon).url}${path.replaceAll(/\{[^}]+\}/g, 'unknown')}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${addressOf(daemon).token}` },
    });
    const allowed = (headers.get('allow') ?? '')
      .split(', ')
      .filter((method) => method !== 'HEAD')
      .toSorted();
    t.same(
      allowed,
      Object.keys(document.paths[path] ?? {})
        .map((method) => method.toUpperCase())
        .toSorted(),
      `${path} is served with what is documented`,
    );
  }
});

function sender(
  daemon: RunningDaemon,
): (method: string, path: string, body?: string, type?: string) => Promise<Problem> {
  const { url, token } = addressOf(daemon);
  return async (method, path, body, type = 'application/json') => {
    const headers: Record<string, string> = {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': type }),
    };
    const answer = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    const text = await answer.text();
    const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json') === true;
    return { status: answer.status, code: isProblem ? String((JSON.parse(text) as { code: unknown }).code) : '', text };
  };
}

/** What comes back until the connection ends, or half a second long. */
function rawRequest(host: string, port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, host, () => socket.write(text));
    const done = (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part;
      if (answer.includes('\r\n\r\n')) done();
    });
    socket.on('close', done);
    socket.on('error', done);
  });
}

interface Events {
  events(): readonly { readonly id: string; readonly data: string }[];
  tools(): readonly string[];
  close(): void;
}

async function openEvents(t: TestScope, daemon: RunningDaemon, lastEventId: string | null): Promise<Events> {
  const { url, token } = addressOf(daemon);
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const headers = {
    authorization: `Bearer ${token}`,
    ...(lastEventId === null ? {} : { 'last-event-id': lastEventId }),
  };
  const answer = await fetch(`${url}/v1/events`, { headers, signal: abort.signal });
  let text = '';
  const read = async (): Promise<void> => {
    for await (const part of answer.body ?? []) text += Buffer.from(part).toString();
  };
  // Ends when it is closed.
  read().catch(() => undefined);
  await waitFor('the stream to be live', () => text.includes(': live\n\n'));
  const events = (): { id: string; data: string }[] =>
    [...text.matchAll(/^id: (\S+)\nevent: \S+\ndata: (.*)\n\n/gm)].map(([, id = '', data = '']) => ({ id, data }));
  return {
    events,
    tools: () => events().map(({ data }) => String((JSON.parse(data) as { tool: unknown }).tool)),
    close: () => abort.abort(),
  };
}
