/** Everything that is refused: one problem document each, with what would be right. */

import { connect } from 'node:net';
import t from 'tap';
import { BODY_LIMIT_BYTES } from '../../../../daemon/api/api.ts';
import { ERRORS, GovernorError } from '../../../../lib/core/errors.ts';
import type { ErrorCode } from '../../../../lib/core/errors.ts';
import { overTcp, overUnix, serve } from './serve.ts';
import type { Ask } from './serve.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

interface Item {
  readonly message: string;
  readonly hint?: string;
  readonly pointer?: string;
}

t.test('refusals', async (t) => {
  const served = await serve(t);
  const cases: readonly (readonly [string, Ask, ErrorCode, RegExp, (readonly Item[])?])[] = [
    ['/nothing', {}, 'not_found', /nothing at "\/nothing"/],
    ['/v1', {}, 'not_found', /nothing at/],
    ['/v1/tools/', {}, 'invalid_name', /it is empty/],
    ['/v1/tools/echo/usage/x', {}, 'not_found', /nothing at/],
    ['/v1/tools/echo/pedigree', {}, 'not_found', /nothing at/],
    ['/v1/tools', { method: 'PUT' }, 'method_not_allowed', /possible: GET, HEAD, POST$/],
    ['/v1/tools/echo/activate', {}, 'method_not_allowed', /possible: POST$/],
    ['/v1/tools', { method: 'PROPFIND' }, 'method_not_allowed', /possible/],
    ['/metrics', { method: 'POST', json: {} }, 'method_not_allowed', /possible: GET, HEAD$/],

    [
      '/v1/tools/eco',
      {},
      'unknown_tool',
      /There is no tool "eco"/,
      [{ message: 'there is no tool "eco"', hint: 'did you mean "echo"?' }],
    ],
    ['/v1/tools/other', {}, 'unknown_tool', /There is no tool "other"/, []],
    [
      '/v1/tools/eco/usage',
      {},
      'unknown_tool',
      /There is no tool/,
      [{ message: 'there is no tool "eco"', hint: 'did you mean "echo"?' }],
    ],
    ['/v1/tools/a%2Fb', {}, 'invalid_name', /"\/" at character 2/],
    ['/v1/tools/a%252Fb', {}, 'invalid_name', /"%" at character 2/],
    ['/v1/tools/a%00b', {}, 'invalid_name', /U\+0000 at character 2/],
    [`/v1/tools/${'n'.repeat(500)}`, {}, 'invalid_name', /500 characters/],
    [`/v1/tools/${'n'.repeat(5000)}`, {}, 'invalid_request', /part of the path is too long/],
    ['/v1/tools/%zz', {}, 'invalid_request', /percent-encoded/],
    ['/v1/tools/%ff', {}, 'invalid_request', /percent-encoded/],
    ['/v1/runs/none', {}, 'unknown_run', /no run "none"/],

    [
      '/v1/tools?all=1',
      {},
      'invalid_request',
      /unknown query parameter "all"/,
      [{ message: 'unknown query parameter "all"', hint: 'there are no parameters here' }],
    ],
    [
      '/v1/audit?kynd=stage',
      {},
      'invalid_request',
      /kynd/,
      [{ message: 'unknown query parameter "kynd"', hint: 'did you mean "kind"?' }],
    ],
    ['/v1/audit?kind=stages', {}, 'invalid_request', /query parameter "kind": expected one of: daemon, lifecycle/],
    ['/v1/audit?since=yesterday', {}, 'invalid_request', /"since": expected a time such as 2026-01-31T12:00:00Z/],
    ['/v1/audit?limit=0', {}, 'invalid_request', /"limit": expected a whole number from 1 to 1000/],
    ['/v1/audit?limit=1001', {}, 'invalid_request', /"limit"/],
    ['/v1/audit?limit=1.5', {}, 'invalid_request', /"limit"/],
    ['/v1/audit?limit=x', {}, 'invalid_request', /"limit"/],
    ['/v1/audit?limit=1&limit=2', {}, 'invalid_request', /"limit"/],
    ['/v1/tools/echo/logs?lines=-1', {}, 'invalid_request', /"lines": expected a whole number from 1 to 10000/],
    ['/v1/events?last_event_id=x', {}, 'invalid_request', /"last_event_id": .*an id of this stream/],
    ['/v1/events', { headers: { 'last-event-id': 'x y' } }, 'invalid_request', /Last-Event-ID is not an id/],

    ['/v1/tools', { method: 'POST' }, 'invalid_request', /A JSON body is needed/],
    ['/v1/tools', { method: 'POST', body: '', headers: JSON_TYPE }, 'invalid_request', /A JSON body is needed/],
    [
      '/v1/tools',
      { method: 'POST', body: '{"name": "x"', headers: JSON_TYPE },
      'invalid_request',
      /line 1, column 13: expected "," or "}", found the end/,
    ],
    [
      '/v1/tools',
      { method: 'POST', body: 'name=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      'unsupported_media_type',
      /Content-Type: application\/json/,
    ],
    ['/v1/tools', { method: 'POST', body: '{}' }, 'unsupported_media_type', /Content-Type/],
    [
      '/v1/tools',
      { method: 'POST', body: Buffer.alloc(BODY_LIMIT_BYTES + 1, 32), headers: JSON_TYPE },
      'too_large',
      /1 MiB/,
    ],
    ['/v1/tools/echo', { method: 'PATCH', json: [] }, 'invalid_request', /expected object/],
    [
      '/v1/tools/echo',
      { method: 'PATCH', json: { limit: {} } },
      'invalid_request',
      /unknown key/,
      [{ message: 'unknown key "limit"', hint: 'did you mean "limits"?', pointer: '/limit' }],
    ],
    ['/v1/tools/echo', { method: 'PATCH', json: { limits: {} } }, 'invalid_request', /no limit is given/],
    [
      '/v1/tools/echo',
      { method: 'PATCH', json: { limits: { memory: '512M', memry: 1 } } },
      'invalid_request',
      /The limits are not valid/,
      [
        { message: 'memory: "512M" could mean two sizes', hint: 'write 512MiB or 512MB', pointer: '/limits/memory' },
        { message: '"memry" is not a known key', hint: 'did you mean "memory"?', pointer: '/limits/memry' },
      ],
    ],
    [
      '/v1/tools/echo/activate',
      { method: 'POST', json: { context: 5 } },
      'invalid_request',
      /\/context: expected string, received number/,
    ],
    [
      '/v1/tools/echo/activate',
      { method: 'POST', json: { context: '' } },
      'invalid_request',
      /\/context: is empty: 1 to 256 characters, or null/,
    ],
    [
      '/v1/tools/echo/activate',
      { method: 'POST', json: { context: 'x'.repeat(257) } },
      'invalid_request',
      /\/context: is too long: 1 to 256 characters/,
    ],
    ['/v1/tools/echo/deactivate', { method: 'POST', json: { run: 'none' } }, 'unknown_run', /no run "none"/],
    [
      '/v1/tools/echo/deactivate',
      { method: 'POST', json: { 'a/b': 1 } },
      'invalid_request',
      /unknown key/,
      [{ message: 'unknown key "a/b"', hint: 'keys: run', pointer: '/a~1b' }],
    ],
    [
      '/v1/tools/echo/cleanup',
      { method: 'POST', body: '{"__proto__": {"x": 1}}', headers: JSON_TYPE },
      'invalid_request',
      /unknown key "__proto__"/,
    ],
    [
      '/v1/daemon/stop',
      { method: 'POST', json: { stopTools: 'yes' } },
      'invalid_request',
      /\/stopTools: expected boolean/,
    ],
    ['/v1/tools', { method: 'POST', json: { name: 'echo', command: 'node' } }, 'tool_exists', /"echo" already/],
  ];
  for (const [path, ask, code, detail, problems] of cases) {
    const label = `${ask.method ?? 'GET'} ${path.slice(0, 60)}`;
    const { status, headers, json } = await overTcp(served, path, ask);
    t.equal(json['code'], code, label);
    t.equal(status, ERRORS[code].status, `${label}: status`);
    t.match(headers['content-type'], /^application\/problem\+json/, `${label}: type`);
    t.match(json['detail'], detail, label);
    t.match(json, { type: `/docs/errors#${code}`, title: ERRORS[code].title, status, problems: Array });
    if (problems !== undefined) t.strictSame(json['problems'], problems, `${label}: problems`);
    if (code === 'method_not_allowed') t.ok(headers.allow, `${label}: Allow`);
  }
  t.notOk(
    served.logged.some((line) => line.startsWith('error')),
    'nobody is woken by what callers did wrong',
  );
});

t.test('a bug shows nothing of itself to the caller', async (t) => {
  const served = await serve(t);
  served.governor.breakWith(new TypeError("Cannot read properties of undefined (reading '/home/secret')"));
  const { status, text, json } = await overUnix(served, '/v1/tools');
  t.equal(status, 500);
  t.equal(json['code'], 'internal');
  t.notMatch(text, 'secret');
  served.governor.breakWith(new GovernorError('internal', 'invariant of /home/secret'));
  t.notMatch((await overUnix(served, '/v1/tools')).text, 'secret');
  t.strictSame(served.logged, ['error a request failed', 'error a request failed']);
});

t.test('what is not HTTP, or too much of it, gets a problem document too', async (t) => {
  const served = await serve(t);
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(served.port, '127.0.0.1', () => socket.end(bytes));
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('error', reject);
      socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
    });
  t.match(
    await raw('nonsense\r\n\r\n'),
    /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json[^]*"code":"invalid_request"/,
  );
  t.match(
    await raw(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 [^]*"code":"too_large"/,
  );
  t.match(await raw('GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 403 [^]*Host \(none\) is not an address/);
  t.match(
    await raw(`GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1\.1 403 /,
  );
  t.match(
    await raw(
      `POST /v1/tools HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n`,
    ),
    /^HTTP\/1\.1 400 /,
  );
});
