import { createServer, type RequestListener } from 'node:http';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createPlainServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { createClient, query, segment } from '../../../../daemon/cli/client.ts';
import { temporaryFolder } from './harness.ts';

type Test = { teardown(action: () => unknown): void };

async function listen(t: Test, path: string, handler: RequestListener): Promise<void> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
}

function clientOf(...connectSocketPaths: string[]) {
  return createClient({ stateDir: '/state', connectSocketPaths });
}

const json: RequestListener = (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        method: request.method,
        url: request.url,
        body: Buffer.concat(chunks).toString(),
        type: request.headers['content-type'] ?? null,
      }),
    );
  });
};

t.test('requests as they were meant', async (t) => {
  const path = join(temporaryFolder(t), 's');
  await listen(t, path, json);
  const client = clientOf(path);
  t.same((await client.get(`/v1/tools/${segment(`a b'"(ü)`)}${query({ lines: 3, none: null, text: 'a&b' })}`)).body, {
    method: 'GET',
    url: "/v1/tools/a%20b'%22(%C3%BC)?lines=3&text=a%26b",
    body: '',
    type: null,
  });
  t.same((await client.send('PATCH', '/x', { name: 'ü' })).body, {
    method: 'PATCH',
    url: '/x',
    body: '{"name":"ü"}',
    type: 'application/json',
  });
  t.same((await client.send('POST', '/x')).body, { method: 'POST', url: '/x', body: '', type: null });
});

t.test('the first socket that answers is taken', async (t) => {
  const folder = temporaryFolder(t);
  const [live, dead, plain] = [join(folder, 'live'), join(folder, 'dead'), join(folder, 'plain')];
  await listen(t, live, json);
  // A socket file that its daemon left behind when it was killed.
  const gone = createPlainServer();
  await new Promise<void>((resolve) => gone.listen(join(folder, 'gone'), resolve));
  symlinkSync(join(folder, 'gone'), dead);
  await new Promise((resolve) => gone.close(resolve));
  writeFileSync(plain, 'no socket');
  for (const first of [join(folder, 'missing'), dead, plain, join(plain, 'below')]) {
    t.match((await clientOf(first, live).get('/x')).body, { url: '/x' }, first);
    await t.rejects(clientOf(first).get('/x'), {
      code: 'daemon_unreachable',
      message: 'no daemon is running for /state; start one with: governor daemon',
    });
  }
  symlinkSync(live, join(folder, 'link'));
  t.match((await clientOf(join(folder, 'link')).get('/x')).body, { url: '/x' }, 'a link to the socket is as good');
});

const notRoot = process.getuid?.() === 0 ? false : 'only root can take the place of another user';

t.test('a socket of another user is said to be that', { skip: notRoot }, async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'closed'), { mode: 0o700 });
  await listen(t, join(folder, 'closed', 's'), json);
  process.seteuid?.(65_534);
  try {
    await t.rejects(clientOf(join(folder, 'closed', 's')).get('/x'), {
      code: 'daemon_unreachable',
      message: /not allowed to connect .* another user/,
    });
  } finally {
    process.seteuid?.(0);
  }
});

t.test('answers that are not what they should be', async (t) => {
  const path = join(temporaryFolder(t), 's');
  await listen(t, path, (request, response) => {
    switch (request.url) {
      case '/text':
        return response.end('hello');
      case '/empty':
        return response.writeHead(204).end();
      case '/bare':
        return response.writeHead(500).end('oops');
      case '/strange':
        return response.writeHead(418).end('{"code":"teapot","title":"I am a teapot"}');
      case '/problems':
        return response.writeHead(400).end(
          JSON.stringify({
            code: 'invalid_request',
            detail: 'no',
            problems: [
              { pointer: '/a', message: 'm', hint: 'h' },
              { file: 'f', line: 1, column: 2, message: 'n' },
              'odd',
              { message: 3 },
            ],
          }),
        );
      case '/half':
        response.writeHead(200, { 'content-length': '100' });
        response.write('{');
        return setImmediate(() => response.destroy());
      case '/silent':
        return undefined;
      default:
        return response.destroy();
    }
  });
  const client = clientOf(path);
  await t.rejects(client.get('/text'), { code: 'internal', message: /not JSON; is it the same version\?/ });
  t.same(await client.get('/empty'), { text: '', body: undefined });
  await t.rejects(client.get('/bare'), {
    code: 'internal',
    message: 'the daemon answered with HTTP 500 and no explanation',
  });
  await t.rejects(client.get('/strange'), { code: 'internal', message: 'I am a teapot' });
  await t.rejects(client.get('/problems'), {
    code: 'invalid_request',
    message: 'no',
    problems: [
      { where: { pointer: '/a' }, message: 'm', hint: 'h' },
      { where: { file: 'f', line: 1, column: 2 }, message: 'n' },
    ],
  });
  await t.rejects(client.get('/half'), {
    code: 'daemon_unreachable',
    message: 'the daemon broke off in the middle of its answer',
  });
  await t.rejects(client.get('/silent', { timeoutMs: 50 }), {
    code: 'daemon_unreachable',
    message: /has not answered for 0\.05 s/,
  });
  await t.rejects(client.get('/hang-up'), { code: 'daemon_unreachable', message: /broke off: socket hang up/ });
  await t.rejects(client.stream('/problems', {}, new AbortController().signal), { code: 'invalid_request' });
});
