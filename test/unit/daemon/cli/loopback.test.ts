import t from 'tap';
import { request } from 'node:http';
import { openLoopback } from '../../../../daemon/cli/loopback.ts';
import type { Loopback } from '../../../../daemon/cli/loopback.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

function ask(
  { redirectUri }: Loopback,
  path: string,
  options: { host?: string; method?: string } = {},
): Promise<Answer> {
  const { port, host } = new URL(redirectUri);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'GET',
        agent: false,
        headers: { host: options.host ?? host },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }));
      },
    );
    outgoing.once('error', reject).end();
  });
}

t.test('one answer, with the right state; what else comes changes nothing', async (t) => {
  const loopback = await openLoopback(0);
  t.teardown(() => loopback.close());
  t.match(loopback.redirectUri, /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
  t.equal((await ask(loopback, '/callback?code=c&state=right')).status, 404, 'nobody has begun');
  const answer = loopback.answer('right');
  const strange: readonly (readonly [string, { host?: string; method?: string }])[] = [
    ['/callback?code=c&state=wrong', {}],
    ['/callback?code=c', {}],
    ['/callback', {}],
    ['/?code=c&state=right', {}],
    ['/callback/?code=c&state=right', {}],
    ['/callback?code=c&state=right', { method: 'POST' }],
    ['/callback?code=c&state=right', { host: 'rebound.example.org' }],
    [`/callback?state=right&code=${'c'.repeat(16_400)}`, {}],
  ];
  for (const [path, options] of strange) {
    const { status, text } = await ask(loopback, path, options);
    t.equal(status, 404, `${path.slice(0, 60)} ${JSON.stringify(options)}`);
    t.notMatch(text, /right|code/, 'and nothing of it is shown');
  }
  const page = ask(loopback, '/callback?code=a%26b&state=right&iss=i');
  t.equal(await answer, 'code=a%26b&state=right&iss=i');
  t.equal((await ask(loopback, '/callback?code=d&state=right')).status, 404, 'once');
  loopback.tell(null);
  t.match(await page, {
    status: 200,
    text: /You are signed in/,
    headers: {
      'content-security-policy': "default-src 'none'",
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
    },
  });
});

t.test('the page says when it failed, and not why', async (t) => {
  const loopback = await openLoopback(0);
  t.teardown(() => loopback.close());
  const answer = loopback.answer('s');
  const page = ask(loopback, '/callback?state=s&error=access_denied');
  t.equal(await answer, 'state=s&error=access_denied');
  loopback.tell('<script>');
  const { status, text } = await page;
  t.equal(status, 502);
  t.notMatch(text, /script|denied/);
});

t.test('a port that is taken', async (t) => {
  const loopback = await openLoopback(0);
  t.teardown(() => loopback.close());
  await t.rejects(openLoopback(Number(new URL(loopback.redirectUri).port)), isGovernorError('port_taken'));
});
