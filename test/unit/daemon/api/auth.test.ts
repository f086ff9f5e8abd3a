/** The guard as it stands before real routes: which of them is open, and what each of the others needs. */

import t from 'tap';
import { overTcp, overUnix, serve } from './serve.ts';

const OPEN = ['/healthz', '/readyz', '/', '/docs', '/docs/errors', '/docs/{file}', '/openapi.json', '/metrics'];

t.test('without a token only the open routes answer on TCP; the unix socket needs none', async (t) => {
  const served = await serve(t);
  for (const route of served.api.served) {
    const [method = '', url = ''] = route.split(' ');
    const path = url.replace(':name', 'echo').replace(':id', 'x').replace(':file', 'cli.md');
    if (url === '/v1/daemon/stop') continue;
    const answer = await overTcp(served, path, { method, token: null });
    const open = OPEN.includes(url.replace(/:([a-z]+)/g, '{$1}'));
    if (open) t.equal(answer.status, 200, `${route} is open`);
    else {
      t.equal(answer.status, 401, `${route} needs a token`);
      t.equal(answer.headers['www-authenticate'], 'Bearer realm="governor"');
    }
  }
  t.equal((await overTcp(served, '/v1/unknown', { token: null })).status, 401, 'what is not there needs one too');
  t.equal((await overUnix(served, '/v1/tools')).status, 200);
  t.strictSame(served.governor.calls, [], 'nothing was done');
});

t.test('each route needs the scope that OpenAPI names', async (t) => {
  const scopes = ['read', 'control', 'launch'] as const;
  const moreTokens = scopes.map((scope) => ({ token: `only-${scope}`, label: scope, scopes: [scope] }));
  const served = await serve(t, { moreTokens, auth: { api: 'token', mcp: 'token', metrics: 'token' } });
  const document = (await overUnix(served, '/openapi.json')).json as {
    paths: Record<string, Record<string, { security: readonly Record<string, readonly string[]>[] }>>;
  };
  for (const [template, operations] of Object.entries(document.paths)) {
    for (const [method, { security }] of Object.entries(operations)) {
      const needed = security.at(-1)?.['bearer']?.[0];
      if (needed === undefined || template === '/v1/events') continue;
      const path = template.replace('{name}', 'none').replace('{id}', 'none');
      for (const scope of scopes) {
        const { json, status, headers } = await overTcp(served, path, {
          method: method.toUpperCase(),
          token: `only-${scope}`,
          headers: { 'content-type': 'text/x' },
        });
        const label = `${method} ${template} with ${scope}`;
        if (scope === needed) t.not(json['code'], 'forbidden', label);
        else {
          t.equal(status, 403, label);
          t.equal(
            headers['www-authenticate'],
            `Bearer realm="governor", error="insufficient_scope", scope="${needed}"`,
          );
        }
      }
    }
  }
});

t.test(
  'DNS rebinding and foreign pages are refused on TCP, open routes included, before the token counts',
  async (t) => {
    const served = await serve(t, { allowedHosts: ['governor.svc'] });
    for (const path of ['/', '/healthz', '/metrics', '/v1/tools', '/nothing']) {
      for (const headers of [
        { host: `evil.example:${served.port}` },
        { host: '127.0.0.1:1' },
        { origin: 'http://evil.example' },
        { origin: 'null' },
      ]) {
        const { status, json } = await overTcp(served, path, { headers });
        t.equal(status, 403, `${path} ${JSON.stringify(headers)}`);
        t.equal(json['code'], 'forbidden_origin');
      }
    }
    const own = `127.0.0.1:${served.port}`;
    t.equal((await overTcp(served, '/v1/tools', { headers: { host: own, origin: `http://${own}` } })).status, 200);
    t.equal((await overTcp(served, '/v1/tools', { headers: { host: 'governor.svc' } })).status, 200);
    const answer = await overTcp(served, '/v1/tools', { headers: { origin: `http://${own}` } });
    t.notOk(
      Object.keys(answer.headers).some((name) => name.startsWith('access-control-')),
      'no CORS header ever',
    );
    t.equal(
      (await overUnix(served, '/v1/tools', { headers: { host: 'anything', origin: 'http://evil.example' } })).status,
      200,
    );
  },
);

t.test('settings apply at the next request', async (t) => {
  let api: 'token' | 'none' = 'token';
  const served = await serve(t, { settings: () => ({ auth: { api, mcp: 'token', metrics: 'token' } }) });
  t.equal((await overTcp(served, '/v1/tools', { token: null })).status, 401);
  t.equal((await overTcp(served, '/metrics', { token: null })).status, 401);
  api = 'none';
  t.equal((await overTcp(served, '/v1/tools', { token: null })).status, 200);
  t.equal((await overTcp(served, '/metrics', { token: null })).status, 401, 'each has its own setting');
});
