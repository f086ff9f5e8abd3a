/** History of a real daemon: what it measures is kept over restarts, and what is asked of it. Faults are in long/history-faults. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addressOf, newStateDir, startDaemon } from '../helpers/daemon.ts';
import type { RunningDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { connectPeer } from '../helpers/mcp-peer.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';

const FAST = { sample_interval: '200ms' } as const;
const IDLE = { idle: { ...commandOf('idle'), readiness: 'none', autostart: true } };

function commandOf(name: string): { readonly command: string; readonly args: readonly string[] } {
  const [command, ...args] = fixtureCommand(name);
  return { command, args };
}

interface Columns {
  readonly stepMs: number;
  readonly at: readonly string[];
  readonly runs: readonly number[];
  readonly resources: readonly {
    readonly resource: string;
    readonly mean: readonly (number | null)[];
    readonly min: readonly (number | null)[];
  }[];
}

/** Seconds in which something was measured. */
async function measured(daemon: RunningDaemon, query = ''): Promise<number> {
  const answer = await daemon.call('GET', `/v1/tools/idle/history?from=10m&step=1s${query}`);
  return answer.status === 200 ? (answer.json as Columns).runs.filter((runs) => runs > 0).length : 0;
}

const untilMeasured = (daemon: RunningDaemon, seconds: number): Promise<unknown> =>
  waitFor(`${seconds} seconds of history`, async () => (await measured(daemon)) >= seconds);

function start(t: TestScope, stateDir: string): Promise<RunningDaemon> {
  return startDaemon(t, { stateDir, config: { daemon: FAST, tools: IDLE } });
}

t.test('what is measured is kept, over a restart and a crash; a gap is a gap', async (t) => {
  const stateDir = newStateDir(t);
  const first = await start(t, stateDir);
  await untilMeasured(first, 3);
  const answer = (await first.call('GET', '/v1/tools/idle/history?from=1m&step=1s')).json as Columns;
  t.equal(answer.stepMs, 1_000);
  t.same(answer.resources.map(({ resource }) => resource).length, 7);
  const memory = answer.resources.find(({ resource }) => resource === 'memory')?.mean ?? [];
  t.same(
    memory.map((value) => value !== null && value > 0),
    answer.runs.map((runs) => runs > 0),
    'where something ran it was measured, and nowhere else',
  );
  const host = (await first.call('GET', '/v1/host')).json as { history: { state: string } };
  t.equal(host.history.state, 'on');
  t.match((await first.call('GET', '/metrics')).text, /governor_history_paused 0\n/);
  await first.stop();
  t.equal(statSync(join(stateDir, 'history.db')).mode & 0o777, 0o600);
  t.notOk(readdirSync(stateDir).includes('history.db-wal'), 'written out at the end');

  // A whole second in which nobody measures.
  await pause(2_100);
  const second = await start(t, stateDir);
  const before = await measured(second);
  t.ok(before >= 3, 'what the first has seen');
  // On a busy host the first has seen more than it was waited for.
  await untilMeasured(second, before + 3);
  const both = (await second.call('GET', '/v1/tools/idle/history?from=10m&step=1s')).json as Columns;
  const seen = both.runs.map((runs) => runs > 0);
  t.ok(seen.slice(seen.indexOf(true), seen.lastIndexOf(true)).includes(false), 'between them nothing was measured');
  await second.stop('SIGKILL');

  const third = await start(t, stateDir);
  t.ok((await measured(third)) >= 5, 'nothing but the last moments is lost');
  t.same(
    readdirSync(stateDir).filter((name) => name.startsWith('history.db.')),
    [],
    'nothing was set aside',
  );
});

t.test('the nothing that is left of a run that has ended is no usage of it', async (t) => {
  const idle = { ...IDLE.idle, recovery: { strategy: 'stop' } };
  const daemon = await startDaemon(t, { stateDir: newStateDir(t), config: { daemon: FAST, tools: { idle } } });
  await untilMeasured(daemon, 2);
  const { runs } = (await daemon.call('GET', '/v1/tools/idle')).json as { runs: readonly { pid: number }[] };
  process.kill(runs[0]?.pid ?? NaN, 'SIGKILL');
  await waitFor(
    'its end',
    async () => ((await daemon.call('GET', '/v1/tools/idle')).json as { runs: [] }).runs.length === 0,
  );
  // What is open of the last second is written then.
  await pause(2_500);
  const { resources } = (await daemon.call('GET', '/v1/tools/idle/history?from=1m&step=1s')).json as Columns;
  const tasks = resources.find(({ resource }) => resource === 'tasks')?.min.filter((value) => value !== null) ?? [];
  t.ok(tasks.length >= 2 && tasks.every((value) => value >= 1), tasks.join(' '));
});

t.test('of a tool that is gone the history stays; of one that never was there is none', async (t) => {
  const stateDir = newStateDir(t);
  const daemon = await start(t, stateDir);
  await untilMeasured(daemon, 2);
  t.equal((await daemon.call('DELETE', '/v1/tools/idle')).status, 204);
  t.equal((await daemon.call('GET', '/v1/tools/idle')).status, 404);
  t.ok((await measured(daemon)) >= 2);
  const unknown = await daemon.call('GET', '/v1/tools/nobody/history');
  t.match([unknown.status, unknown.json], [404, { code: 'unknown_tool' }]);
  const run = await daemon.call('GET', '/v1/tools/idle/history?run=nobody');
  t.match([run.status, run.json], [404, { code: 'unknown_run' }], 'of a tool that is gone too');
  await daemon.call('POST', '/v1/tools', { name: 'young', command: 'true', readiness: 'none' });
  t.match((await daemon.call('GET', '/v1/tools/young/history')).json, { tool: 'young', at: [], resources: [] });
});

t.test('absurd questions are refused with what would be right', async (t) => {
  const daemon = await start(t, newStateDir(t));
  await untilMeasured(daemon, 1);
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['from=2099-01-01T00:00:00Z', /future/],
    ['from=1h&to=2h', /not before/],
    ['from=yesterday', /expected a time such as/],
    ['from=0001-01-01T00:00:00Z', /so long/],
    ['from=13d&step=1m', /at most 10000; ask for a shorter range, or a step of 1m53s or more/],
    ['step=0s', /whole seconds/],
    ['step=1500ms', /whole seconds/],
    ['step=90000d', /whole seconds/],
    ['resource=memory,disk', /with commas, of: memory, cpu/],
    ['resources=memory', /unknown query parameter/],
  ];
  for (const [query, message] of refusals) {
    const answer = await daemon.call('GET', `/v1/tools/idle/history?${query}`);
    t.match([answer.status, answer.json], [400, { code: 'invalid_request', detail: message }], query);
  }
  const one = (await daemon.call('GET', '/v1/tools/idle/history?resource=cpu,memory&step=1h')).json as Columns;
  t.same([one.stepMs, one.resources.map(({ resource }) => resource)], [3_600_000, ['memory', 'cpu']]);
});

t.test('what calls came to, by what was called and by context', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: FAST, tools: { echo: commandOf('mcp-echo') } } });
  const { url, token } = addressOf(daemon);
  const peer = await connectPeer(t, {
    kind: 'sdk-2',
    name: 'history-test',
    to: { url: `${url}/mcp/echo`, token },
  });
  for (const text of ['a', 'b', 'c']) await peer.call('echo', { text });
  await peer.call('nothing of that name').catch(() => undefined);
  const totals = async () => (await daemon.call('GET', '/v1/tools/echo/history')).json.totals;
  await waitFor('the calls', async () => (await totals()).contexts[0]?.calls === 4);
  const { calls, contexts } = await totals();
  t.match(calls[0], { method: 'tools/call', name: 'echo', calls: 3, failures: 0 });
  t.ok(calls[0].durationMs > 0 && calls[0].maxMs <= calls[0].durationMs);
  t.ok(calls[0].cpuTimeMs >= 0);
  t.match(calls[1], { method: 'tools/call', name: 'nothing of that name', calls: 1, failures: 1 });
  t.equal(contexts.length, 1);
  t.match((await daemon.cli(['history', 'echo'])).stdout, /tools\/call echo +3 +0 /);
});

t.test('the command line', async (t) => {
  const daemon = await start(t, newStateDir(t));
  await untilMeasured(daemon, 3);
  const shown = await daemon.cli(['history', 'idle', '--since', '30s']);
  t.equal(shown.code, 0, shown.stderr);
  t.match(shown.stdout, /RESOURCE +LOWEST +MEAN +HIGHEST +LAST/);
  t.match(shown.stdout, /memory .*iB .*[▁▂▃▄▅▆▇█]/);
  const csv = await daemon.cli(['history', 'idle', '--resource', 'memory', '--since', '20s', '--step', '1s', '--csv']);
  const [head, ...lines] = csv.stdout.trim().split('\n');
  t.equal(head, 'at,runs,memory_mean_bytes,memory_min_bytes,memory_max_bytes');
  t.ok(lines.length >= 20 && lines.length <= 22, `${lines.length} lines`);
  t.ok(lines.some((line) => /^[^,]+,1,\d+,\d+,\d+$/.test(line)));
  t.ok(
    lines.some((line) => /^[^,]+,0,,,$/.test(line)),
    'a gap is empty, not zero',
  );
  const json = await daemon.cli(['history', 'idle', '--json']);
  t.equal((JSON.parse(json.stdout) as { tool: string }).tool, 'idle');
  t.equal((await daemon.cli(['history', 'idle', '--csv', '--json'])).code, 2);
  t.match((await daemon.cli(['history', 'idle', '--since', 'noon'])).stderr, /neither a time/);
  const none = await daemon.cli(['history', 'nobody']);
  t.match([none.code, none.stderr], [1, /nobody/]);
});
