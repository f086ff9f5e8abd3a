/** `governor history`, and what its route makes of a question. */

import { dirname } from 'node:path';
import t from 'tap';
import { highest, lowest, sparkline } from '../../../../daemon/cli/sparkline.ts';
import type { HistoryDocument, HistoryQuestion } from '../../../../lib/observe/history/query.ts';
import { overTcp, serve } from '../api/serve.ts';
import { governor, NOW_MS } from './harness.ts';

t.test('a sparkline: what is not there is not drawn', async (t) => {
  t.equal(sparkline([0, null, 7, 14], 10), '▁ ▅█');
  t.equal(sparkline([0, 0], 10), '▁▁');
  t.equal(sparkline([null, null], 10), '  ');
  t.equal(sparkline([1, 2, null, 4, 8, 0], 3), '▃▅█', 'of those that share a column the highest counts');
  t.equal(sparkline([], 10), ' ');
  t.same([highest([null, -1, 3]), highest([null]), lowest([null, 3, -1]), lowest([])], [3, null, -1, null]);
});

const sums = { failures: 1, durationMs: 100, maxMs: 80, cpuTimeMs: 7, sharedCpuTimeMs: 0, unmeasured: 0 };
const lastAt = new Date(NOW_MS - 90_000).toISOString();
const DOCUMENT: HistoryDocument = {
  tool: 'echo',
  run: null,
  from: '2026-01-31T12:59:57.000Z',
  to: '2026-01-31T13:00:00.000Z',
  stepMs: 1_000,
  at: ['2026-01-31T12:59:57.000Z', '2026-01-31T12:59:58.000Z', '2026-01-31T12:59:59.000Z'],
  runs: [1, 0, 1],
  resources: [
    {
      resource: 'memory',
      unit: 'bytes',
      mean: [1_048_576, null, 3_145_728],
      min: [1_048_576, null, 2_097_152],
      max: [1_048_576, null, 4_194_304],
    },
    { resource: 'sockets', unit: 'count', mean: [null, null, null], min: [null, null, null], max: [null, null, null] },
  ],
  totals: {
    calls: [
      { method: 'tools/call', name: 'search', calls: 4, ...sums, lastAt },
      { method: '', name: '', calls: 2, ...sums, unmeasured: 2, lastAt },
    ],
    contexts: [{ context: 'chat', calls: 6, ...sums, lastAt }],
  },
};

t.test('for people, as CSV, as JSON', async (t) => {
  const asked: HistoryQuestion[] = [];
  const served = await serve(t, {
    history: {
      read: async (question) => {
        asked.push(question);
        return DOCUMENT;
      },
      status: () => ({ state: 'on', reason: null, written: 0, dropped: 0, bytes: 0 }),
    },
  });
  const cli = (...words: string[]) =>
    governor(['history', 'echo', ...words], { env: { GOVERNOR_STATE_DIR: dirname(served.socketPath) } });
  const { code, out } = await cli();
  t.equal(code, 0);
  t.match(out, /a value every 1s; measured in 2 of 3 steps/);
  t.match(out, /^memory +1 MiB +2 MiB +4 MiB +3 MiB +▃ █$/m);
  t.match(out, /^sockets +– +– +– +– +$/m, 'never read: never a zero');
  t.match(out, /^tools\/call search +4 +1 +25ms +80ms +7ms +1m30s ago$/m);
  t.match(out, /^\(others\) +2 +1 +50ms +80ms +– +1m30s ago$/m);
  t.match(out, /^chat +6 /m);

  t.equal(
    (await cli('--csv')).out,
    [
      'at,runs,memory_mean_bytes,memory_min_bytes,memory_max_bytes,sockets_mean_count,sockets_min_count,sockets_max_count',
      '2026-01-31T12:59:57.000Z,1,1048576,1048576,1048576,,,',
      '2026-01-31T12:59:58.000Z,0,,,,,,',
      '2026-01-31T12:59:59.000Z,1,3145728,2097152,4194304,,,',
      '',
    ].join('\n'),
  );
  t.same(JSON.parse((await cli('--json')).out), DOCUMENT);
  t.equal((await cli('--csv', '--json')).code, 2);

  await cli('--since', '10m', '--until', '2026-01-31T12:59:00Z', '--step', '30s', '--resource', 'cpu', '--run', 'r1');
  const nowS = NOW_MS / 1000;
  t.same(asked.at(-1), { tool: 'echo', run: 'r1', resources: ['cpu'], fromS: nowS - 600, toS: nowS - 60, stepS: 30 });
  t.equal((await cli('--resource', 'disk')).code, 2);
  t.match((await cli('--since', 'noon')).err, /neither a time/);
  const count = asked.length;
  for (const [words, message] of [
    [
      ['--since', '10m', '--until', '1h'],
      /^governor history: --since 10m is not before --until 1h; durations count back/,
    ],
    [['--since', '10m', '--until', '10m'], /--since 10m is not before --until 10m/],
    [['--since', '2026-02-28T12:00:00Z'], /--since 2026-02-28T12:00:00Z lies in the future/],
    [['--step', '0s'], /--step "0s" is not whole seconds of at least one, such as 10s or 5m/],
    [['--step', '1500ms'], /--step "1500ms" is not whole seconds/],
  ] as const) {
    const { code: refused, err } = await cli(...words);
    t.equal(refused, 2, words.join(' '));
    t.match(err, message);
  }
  t.equal(asked.length, count, 'the daemon is not asked');
});

t.test('the route: times, durations back from now, what is refused, a tool that was never measured', async (t) => {
  const served = await serve(t);
  const ask = (query: string, tool = 'echo') => overTcp(served, `/v1/tools/${tool}/history${query}`);
  const beforeS = Date.now() / 1000;
  t.match((await ask('?from=1h')).json, { tool: 'echo', at: [], runs: [], resources: [] });
  const { fromS = 0, ...rest } = served.asked.at(-1) ?? {};
  t.match(rest, { tool: 'echo', run: null, toS: null, stepS: null });
  t.ok(Math.abs(Number(fromS) - (beforeS - 3_600)) < 60);
  t.equal((await ask('?run=r1')).json['code'], 'unknown_run');
  t.match((await ask('', 'echoo')).json, { code: 'unknown_tool', problems: [{ hint: /did you mean "echo"/ }] });
  t.equal((await ask('', 'a%2Fb')).json['code'], 'invalid_name');
  const count = served.asked.length;
  for (const query of ['?from=x', '?step=0.5s', '?step=-1s', '?resource=', '?resource=disk', '?since=1h', '?run='])
    t.match([(await ask(query)).status, (await ask(query)).json['code']], [400, 'invalid_request'], query);
  t.equal(served.asked.length, count, 'the history never hears of them');
});
