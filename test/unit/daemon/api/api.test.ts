/** Every route, asked over both listeners. */

import t from 'tap';
import { GovernorError } from '../../../../lib/core/errors.ts';
import { CALLS, overTcp, overUnix, serve, TOKEN } from './serve.ts';
import type { Answer, Ask } from './serve.ts';

t.test('every route answers alike over TCP and over the unix socket', async (t) => {
  const served = await serve(t);
  const both = async (path: string, ask: Ask = {}): Promise<Answer> => {
    const [tcp, unix] = [await overTcp(served, path, ask), await overUnix(served, path, ask)];
    t.equal(unix.status, tcp.status, `${path}: same status`);
    t.equal(unix.headers['content-type'], tcp.headers['content-type'], `${path}: same type`);
    t.equal(tcp.headers['cache-control'], 'no-store', `${path}: not cached`);
    return tcp;
  };

  t.equal(
    (await overTcp(served, '/v1/tools/echo/activate', { method: 'POST', json: { context: 'chat' } })).json['context'],
    'chat',
  );
  t.equal(
    (await overTcp(served, '/v1/tools/echo/activate', { method: 'POST' })).json['context'],
    null,
    'the body may be left out',
  );
  const run = 'run0000001';

  const reads: readonly (readonly [string, (json: Record<string, unknown>) => unknown, unknown])[] = [
    ['/v1/tools', ({ tools }) => (tools as { name: string }[]).map(({ name }) => name), ['echo', 'naïve tool']],
    ['/v1/tools/echo', ({ state }) => state, 'active'],
    ['/v1/tools/na%C3%AFve%20tool', ({ name }) => name, 'naïve tool'],
    ['/v1/tools/echo/usage', ({ resources }) => (resources as unknown[]).length, 7],
    ['/v1/tools/echo/runs', ({ tool, runs }) => [tool, (runs as unknown[]).length], ['echo', 2]],
    ['/v1/tools/echo/processes', ({ processes }) => (processes as { run: string }[])[0]?.run, run],
    ['/v1/tools/echo/sockets', ({ sockets }) => (sockets as { kind: string }[])[0]?.kind, 'tcp'],
    ['/v1/tools/echo/files', ({ files }) => (files as { deleted: boolean }[])[0]?.deleted, true],
    ['/v1/tools/echo/logs?lines=2', ({ lines }) => lines, ['second line', 'third line']],
    [`/v1/runs/${run}`, ({ id }) => id, run],
    ['/v1/usage', ({ usage, budgets }) => [(usage as unknown[]).length, budgets], [2, []]],
    [
      '/v1/contexts',
      ({ contexts }) => contexts,
      [
        { id: 'chat', budget: null, runs: [{ tool: 'echo', run }], calls: CALLS },
        { id: 'only calls', budget: null, runs: [], calls: CALLS },
      ],
    ],
    ['/v1/audit?limit=2', ({ entries, next }) => [(entries as unknown[]).length, next], [2, 2]],
    ['/v1/audit?limit=2&after=2', ({ entries, next }) => [(entries as unknown[]).length, next], [1, null]],
    ['/v1/audit/verify', ({ ok }) => ok, false],
    ['/v1/host', ({ version, backend }) => [version, backend], ['0.0.0-test', 'procfs']],
    ['/healthz', (json) => json, { status: 'ok' }],
    ['/readyz', (json) => json, { ready: true, detail: 'ready' }],
    ['/openapi.json', ({ openapi }) => openapi, '3.1.0'],
  ];
  for (const [path, pick, expected] of reads) {
    const answer = await both(path);
    t.equal(answer.status, 200, path);
    t.match(answer.headers['content-type'], /^application\/json/);
    t.strictSame(pick(answer.json), expected, path);
    const head = await overTcp(served, path, { method: 'HEAD' });
    t.equal(head.status, 200, `HEAD ${path}`);
    t.equal(head.text, '');
  }
  const usage = (await overTcp(served, '/v1/tools/echo/usage')).json['resources'] as Record<string, unknown>[];
  t.strictSame(
    usage.find(({ resource }) => resource === 'temp_storage')?.['usage'],
    null,
    'what is not known is no zero',
  );

  const fits = (await overTcp(served, '/v1/tools/echo/recommendation')).json;
  t.match(fits, { tool: 'echo', yaml: /^tools:\n {2}echo:\n {4}limits:\n {6}memory: \{ limit: 1\d\dMiB, / });
  t.match((fits['proposals'] as unknown[])[3], { resource: 'sockets', limit: 16, proposed: null, usage: null });

  t.equal((await both('/metrics')).headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const landing = await both('/');
  t.match(landing.headers['content-type'], /^text\/html/);
  t.match(landing.text, '/v1/tools/{name}/activate');
  t.match(landing.headers['content-security-policy'], "default-src 'none'");
  t.match((await both('/docs')).text, 'href="/docs/cli.md"');
  t.equal((await both('/docs/cli.md')).text, '# Commands\n');
  t.match((await both('/docs/errors')).text, 'id="unknown_tool"');
  t.equal((await both('/docs/')).headers['location'], '/docs');
  for (const path of ['/docs/none.md', '/docs/..%2Fgovernor.sock', '/docs/%2e%2e', '/docs/.hidden.md']) {
    t.equal((await both(path)).json['code'], 'not_found', path);
  }

  const changes: readonly (readonly [string, Ask, number, string])[] = [
    ['/v1/tools', { method: 'POST', json: { name: 'new one', command: 'node' } }, 201, 'register new one'],
    ['/v1/tools/new%20one', { method: 'DELETE' }, 204, 'unregister new one'],
    [
      '/v1/tools/echo',
      { method: 'PATCH', json: { limits: { memory: '1MiB', cpu: null } } },
      200,
      'setLimits echo {"memory":1048576,"cpu":null} by token default',
    ],
    [
      `/v1/runs/${run}/context`,
      { method: 'POST', json: { context: 'chat' } },
      200,
      `moveRun ${run} to chat by token default`,
    ],
    ['/v1/tools/echo/restart', { method: 'POST', json: { run } }, 200, `restart echo ${run}`],
    ['/v1/tools/echo/deactivate', { method: 'POST' }, 200, 'deactivate echo -'],
    ['/v1/tools/echo/cleanup', { method: 'POST', json: {} }, 200, 'cleanup echo'],
    ['/v1/config/reload', { method: 'POST' }, 200, 'cleanup echo'],
  ];
  for (const [path, ask, status, call] of changes) {
    const answer = await overTcp(served, path, ask);
    t.equal(answer.status, status, `${ask.method} ${path}: ${answer.text.slice(0, 200)}`);
    t.equal(served.governor.calls.at(-1), call);
    if (status === 201) t.equal(answer.headers.location, '/v1/tools/new%20one');
  }
  await overUnix(served, '/v1/tools/echo', { method: 'PATCH', json: { limits: { sockets: 5 } } });
  t.equal(served.governor.calls.at(-1), 'setLimits echo {"sockets":5} by unix socket', 'the audit is told who');
  await overTcp(served, '/v1/tools/echo/activate', { method: 'POST', json: { context: 'a/b' } });
  t.equal((await overTcp(served, '/v1/contexts/a%2Fb', { method: 'DELETE' })).status, 204);
  t.equal((await overTcp(served, '/v1/contexts/a%2Fb', { method: 'DELETE' })).json['code'], 'unknown_context');
  t.equal((await overTcp(served, '/v1/contexts/only%20calls', { method: 'DELETE' })).status, 204, 'without a run');
  t.equal((await overTcp(served, '/v1/contexts/only%20calls', { method: 'DELETE' })).json['code'], 'unknown_context');
});

t.test('a sign-in', async (t) => {
  const served = await serve(t);
  const post = (path: string, json: unknown) => overTcp(served, `/v1/tools/${path}`, { method: 'POST', json });
  const redirectUri = 'http://127.0.0.1:9/callback';
  t.strictSame((await post('echo/login', { redirectUri })).json, {
    authorizationUrl: 'https://login.example.org/authorize',
    expiresAt: '2026-01-31T12:05:00.000Z',
  });
  t.equal(served.signIns.at(-1), `login echo ${redirectUri}`);
  t.match((await post('echo/login/answer', { answer: 'code=a&state=b' })).json, { name: 'echo' });
  t.equal(served.signIns.at(-1), 'finish echo code=a&state=b by token default');
  t.match((await post('echo/logout', {})).json, { tool: { name: 'echo' }, tokens: 'revoked' });
  t.equal(served.signIns.at(-1), 'logout echo by token default');
  t.match((await post('none/login', { redirectUri })).json, { code: 'unknown_tool' });
  t.match((await post('echo/login', { redirect: 'x' })).json, { code: 'invalid_request', status: 400 });
  t.match((await post('echo/login/answer', { answer: 'a'.repeat(16_385) })).json, { code: 'invalid_request' });
  t.notOk(served.logged.some((line) => line.includes('code=a')));
});

t.test('the daemon is asked to stop only after it has answered', async (t) => {
  const served = await serve(t);
  const answer = await overUnix(served, '/v1/daemon/stop', { method: 'POST', json: { stopTools: true } });
  t.equal(answer.status, 202);
  t.strictSame(answer.json, { stopping: true, stopTools: true });
  await overUnix(served, '/v1/daemon/stop', { method: 'POST' });
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(served.stops, [{ stopTools: true }, { stopTools: false }]);
});

t.test(
  'what a view has beyond its schema never leaves, and a view that breaks its schema is a failure of ours',
  async (t) => {
    const served = await serve(t);
    const real = served.governor.host();
    Object.assign(served.governor, { host: () => ({ ...real, secret: 'TOP-SECRET' }) });
    t.notMatch((await overUnix(served, '/v1/host')).text, 'TOP-SECRET');
    Object.assign(served.governor, { host: () => ({ ...real, kernel: 12 }) });
    const broken = await overUnix(served, '/v1/host');
    t.equal(broken.status, 500);
    t.equal(broken.json['code'], 'internal');
    t.strictSame(
      served.logged.filter((line) => line.startsWith('error')),
      ['error a request failed'],
    );
  },
);

t.test('not ready is 503 with the same document', async (t) => {
  const served = await serve(t, { ready: () => ({ ready: false, detail: 'reconciling 3 runs' }) });
  const answer = await overTcp(served, '/readyz', { token: null });
  t.equal(answer.status, 503);
  t.strictSame(answer.json, { ready: false, detail: 'reconciling 3 runs' });
});

t.test('a refused reload says where in the file', async (t) => {
  const served = await serve(t);
  served.governor.reloadWith(
    new GovernorError('invalid_config', 'limits.yaml is not valid; nothing was changed', {
      problems: [
        {
          where: { file: 'limits.yaml', line: 4, column: 9 },
          message: 'memory: "512M" has no unit',
          hint: 'write 512MiB or 512MB',
        },
      ],
    }),
  );
  const answer = await overUnix(served, '/v1/config/reload', { method: 'POST' });
  t.equal(answer.status, 422);
  t.strictSame(answer.json['problems'], [
    { message: 'memory: "512M" has no unit', hint: 'write 512MiB or 512MB', file: 'limits.yaml', line: 4, column: 9 },
  ]);
});

t.test('global fetch works, with and without the token', async (t) => {
  const served = await serve(t);
  const url = `http://127.0.0.1:${served.port}/v1/tools`;
  t.equal((await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })).status, 200);
  t.equal((await fetch(url)).status, 401);
  t.equal(
    (await fetch(url.replace('127.0.0.1', 'localhost'), { headers: { authorization: `Bearer ${TOKEN}` } })).status,
    200,
  );
});
