import t from 'tap';
import { formatListen, isLoopback, parseListen } from '../../../config/listen.ts';

t.test('addresses', async (t) => {
  const good = [
    ['127.0.0.1:7717', '127.0.0.1', 7717],
    ['localhost:0', 'localhost', 0],
    ['[::1]:80', '::1', 80],
    ['example.org:65535', 'example.org', 65_535],
  ] as const;
  for (const [raw, host, port] of good) {
    t.same(parseListen(raw), { ok: true, value: { host, port } });
    t.equal(formatListen({ host, port }), raw);
  }
  const bad = [
    '',
    ':7717',
    '7717',
    '127.0.0.1',
    '::1:80',
    '[::1]',
    '[1]:80',
    '300.0.0.1:1',
    '1.2.3:1',
    'a:99999',
    'a b:1',
    'http://a:1',
    'x'.repeat(400),
    null,
    7717,
    {},
  ];
  for (const raw of bad) t.notOk(parseListen(raw).ok, String(raw).slice(0, 30));
});

t.test('only this machine reaches a loopback address', async (t) => {
  for (const host of ['127.0.0.1', '127.8.8.8', '::1', '0:0:0:0:0:0:0:1', 'localhost', 'LOCALHOST', '::ffff:127.0.0.1'])
    t.ok(isLoopback(host), host);
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '128.0.0.1',
    '127.example.org',
    '127.0.0.1.example.org',
    'localhost.example.org',
    '::2',
    '1::1',
    '::ffff:10.0.0.1',
  ]) {
    t.notOk(isLoopback(host), host);
  }
});
