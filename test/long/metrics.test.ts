/** /metrics as Prometheus itself sees it: its checker, and a server that scrapes a real daemon. */

import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { addressOf, LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, type RunningFixture, startProgram, type TestScope } from '../helpers/fixture.ts';
import { lacks } from '../helpers/skip.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { waitFor } from '../helpers/wait-for.ts';

const NAME = `my "tool" \\ ünï`.replaceAll('"', "'").replaceAll('\\', '+');

t.test('the exposition', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  await startTool(t, daemon, NAME, ['open-files', '--count=30'], ['--file-handles', '100', '--memory', '500MiB']);
  const value = async (series: RegExp): Promise<number> =>
    Number(series.exec((await daemon.call('GET', '/metrics')).text)?.[1]);
  await waitFor('a sample', async () => (await value(/^governor_tool_open_fds\{[^}]*\} (\S+)/m)) > 30);
  const answer = await daemon.call('GET', '/metrics');
  t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4; charset=utf-8/);
  t.ok(answer.text.includes(`governor_tool_runs{tool="${NAME}"} 1`), 'names are kept');
  t.equal(await value(/^governor_tool_limit\{[^}]*resource="file_handles"[^}]*\} (\S+)/m), 100);
  t.equal(await value(/^governor_tool_limit\{[^}]*resource="memory"[^}]*\} (\S+)/m), 500 * 2 ** 20);
  t.ok((await value(/^governor_tool_memory_bytes\{[^}]*\} (\S+)/m)) > 2 ** 20);
  t.equal(await value(/^governor_tool_stage\{[^}]*resource="file_handles"[^}]*stage="normal"[^}]*\} (\S+)/m), 1);
  for (const family of FAMILIES) t.match(answer.text, new RegExp(`^# TYPE ${family} `, 'm'), family);
  t.equal((await daemon.cli(['stop', NAME])).code, 0);
  await waitFor(
    'its series to be gone',
    async () => !(await daemon.call('GET', '/metrics')).text.includes('governor_tool_runs{'),
  );
  const after = (await daemon.call('GET', '/metrics')).text;
  t.match(after, /^governor_cleanup_duration_seconds_count(\{[^}]*\})? 1$/m);
  t.notMatch(after, /^governor_tool_[a-z_]+\{/m, 'series of a tool go with it');
});

/** design.md section 8, for what there is in this version. */
const FAMILIES = [
  'governor_tool_memory_bytes',
  'governor_tool_cpu_seconds_total',
  'governor_tool_open_fds',
  'governor_tool_sockets',
  'governor_tool_tasks',
  'governor_tool_temp_bytes',
  'governor_tool_runtime_seconds',
  'governor_tool_limit',
  'governor_tool_usage_ratio',
  'governor_tool_stage',
  'governor_tool_state',
  'governor_tool_runs',
  'governor_tool_last_sample_timestamp_seconds',
  'governor_stage_transitions_total',
  'governor_actions_total',
  'governor_cleanup_duration_seconds',
  'governor_cleanup_held_total',
  'governor_cleanup_reclaimed_total',
  'governor_recoveries_total',
  'governor_oom_kills_total',
  'governor_sample_duration_seconds',
  'governor_build_info',
  'governor_config_last_reload_successful',
  'process_cpu_seconds_total',
];

t.test('promtool check metrics', { skip: lacks('promtool') }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  const check = async (what: string): Promise<void> => {
    const checked = spawnSync('promtool', ['check', 'metrics'], {
      input: (await daemon.call('GET', '/metrics')).text,
      encoding: 'utf8',
    });
    t.match({ status: checked.status, said: `${checked.stdout}${checked.stderr}` }, { status: 0, said: '' }, what);
  };
  await check('of an empty daemon');
  const tool = await startTool(
    t,
    daemon,
    'busy',
    ['open-files', '--count=60'],
    ['--file-handles', '60', '--grace', '100ms'],
  );
  await tool.ended;
  await startTool(t, daemon, NAME, ['idle']);
  await waitFor('a sample', async () =>
    /^governor_tool_memory_bytes\{/m.test((await daemon.call('GET', '/metrics')).text),
  );
  await check('with a tool that runs, and one that was stopped for its limit');
});

t.test('a real Prometheus scrapes it', { skip: lacks('prometheus') }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms', auth: { metrics: 'token' } } } });
  const { url, token } = addressOf(daemon);
  t.equal((await fetch(`${url}/metrics`)).status, 401);
  await startTool(t, daemon, NAME, ['idle']);
  const server = await startPrometheus(t, { url, token });
  const query = async (
    expression: string,
  ): Promise<readonly { metric: Record<string, string>; value: [number, string] }[]> =>
    (
      (await (await fetch(`${server}/api/v1/query?query=${encodeURIComponent(expression)}`)).json()) as {
        data: { result: [] };
      }
    ).data.result;
  const [memory] = await waitFor(
    'memory of the tool in Prometheus',
    async () => {
      const found = await query('governor_tool_memory_bytes');
      return found.length > 0 ? found : null;
    },
    { timeoutMs: 30_000 },
  );
  t.equal(memory?.metric['tool'], NAME);
  t.ok(Number(memory?.value[1]) > 2 ** 20, `${memory?.value[1] ?? 'nothing'} bytes`);
  t.equal((await query('up{job="governor"}'))[0]?.value[1], '1');
  const { data } = (await (await fetch(`${server}/api/v1/targets`)).json()) as {
    data: { activeTargets: { health: string; lastError: string }[] };
  };
  t.match(data.activeTargets, [{ health: 'up', lastError: '' }], 'without complaint');
});

async function startTool(
  t: TestScope,
  daemon: RunningDaemon,
  name: string,
  [fixture = '', ...args]: readonly string[],
  flags: readonly string[] = [],
): Promise<RunningFixture> {
  const words = [LAUNCHER, 'run', '--name', name, ...flags, '--', ...fixtureCommand(fixture, args)];
  const tool = startProgram(t, words, { detached: true, env: daemon.env });
  await tool.said('ready');
  return tool;
}

/** @returns its address */
async function startPrometheus(
  t: TestScope,
  target: { readonly url: string; readonly token: string },
): Promise<string> {
  const directory = temporaryDirectory(t);
  const config = join(directory, 'prometheus.yml');
  const port = await freePort();
  writeFileSync(
    config,
    `global: { scrape_interval: 1s }
scrape_configs:
  - job_name: governor
    authorization: { credentials: ${target.token} }
    static_configs: [{ targets: ['${new URL(target.url).host}'] }]
`,
  );
  const listen = `127.0.0.1:${port}`;
  const server = spawn(
    'prometheus',
    [`--config.file=${config}`, `--storage.tsdb.path=${join(directory, 'data')}`, `--web.listen-address=${listen}`],
    { stdio: 'ignore' },
  );
  t.teardown(async () => {
    server.kill('SIGKILL');
    await new Promise((resolve) =>
      server.exitCode === null && server.signalCode === null ? server.once('exit', resolve) : resolve(null),
    );
  });
  await waitFor('Prometheus', async () => (await fetch(`http://${listen}/-/ready`)).status === 200, {
    timeoutMs: 30_000,
  });
  return `http://${listen}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
