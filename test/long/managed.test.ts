/** Tools that the daemon itself runs: real servers from npm, the ladder with recovery, and output of every kind. */

import { join } from 'node:path';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import { residentBytes } from '../helpers/proc-look.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { lacks } from '../helpers/skip.ts';
import { identityOf, isAlive } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
const server = (name: string): string =>
  join(projectRoot, `node_modules/@modelcontextprotocol/server-${name}/dist/index.js`);
const skip = lacks('linux');
const noServers = existsSync(server('everything')) ? false : 'needs the servers from npm (npm ci)';

t.test('real servers', { skip: skip || noServers, timeout: patience(110_000) }, async (t) => {
  const everything = { command: 'node', args: [server('everything'), 'stdio'], limits: { memory: '512MiB' } };
  const filesystem = {
    command: 'node',
    args: [server('filesystem'), '.'],
    class: 'light',
    limits: { memory: '384MiB' },
  };
  const daemon = await startDaemon(t, { config: { tools: { everything, filesystem } } });
  for (const [name, version, tool] of [
    ['everything', /mcp-servers\/everything|everything/, 'echo'],
    ['filesystem', /secure-filesystem-server|filesystem/, 'read_text_file'],
  ] as const) {
    const view = await active(daemon, name);
    t.match(
      view,
      { state: 'active', managed: true, server: { name: version, version: /^\d+\.\d+/, protocol: /^20\d\d-/ } },
      name,
    );
    t.ok(
      (view.server.tools as readonly string[]).includes(tool),
      `${name} lists ${tool}: ${(view.server.tools as readonly string[]).join(', ')}`,
    );
    const usage = await waitFor(`usage of ${name}`, async () => {
      const { json } = await daemon.call('GET', `/v1/tools/${name}/usage`);
      return (json.resources as readonly { usage: number | null }[]).every((entry) => entry.usage !== null) && json;
    });
    t.same(
      (usage.resources as readonly { resource: string }[]).map(({ resource }) => resource),
      ['memory', 'cpu', 'file_handles', 'sockets', 'runtime', 'temp_storage', 'tasks'],
      'measured on all seven',
    );
    t.match(await daemon.call('GET', `/v1/tools/${name}/processes`), {
      status: 200,
      json: { processes: [{ name: /node|MainThread/, memory: { kind: 'measured' } }] },
    });
  }
  const started = identityOf((await active(daemon, 'everything')).runs[0].pid as number);
  const stopped = await daemon.call('POST', '/v1/tools/everything/deactivate');
  t.match(stopped.json, { state: 'registered', server: null, lastEnd: { reason: 'requested', cleanup: { left: {} } } });
  t.ok(started !== null && !isAlive(started), 'the process is gone');
  t.match((await daemon.cli(['start', 'everything'])).code, 0);
  await active(daemon, 'everything');
  t.match((await daemon.cli(['ls'])).stdout, /everything +active[^\n]*\n?[^]*filesystem +active/);
});

t.test('the ladder with recovery', { skip, timeout: patience(110_000) }, async (t) => {
  const leak = (...args: readonly string[]): Readonly<Record<string, unknown>> => {
    const [command, ...words] = fixtureCommand('leak-memory', args);
    return {
      command,
      args: words,
      readiness: 'none',
      autostart: false,
      grace: '2s',
      limits: { memory: '160MiB' },
      recovery: { strategy: 'restart', budget: '20/1h' },
    };
  };
  const slow = ['--rate-mb=60', '--cap-mb=185'];
  const daemon = await startDaemon(t, {
    config: {
      daemon: { sample_interval: '100ms' },
      tools: {
        recycled: leak(...slow),
        stopped: { ...leak(...slow), actions: { memory: { cleanup: ['stop'] } } },
        killed: { ...leak('--rate-mb=150', '--cap-mb=400'), actions: { memory: { cleanup: [] } } },
        'not restarted': { ...leak(...slow), recovery: { strategy: 'stop' } },
      },
    },
  });
  for (const name of ['recycled', 'stopped', 'killed', 'not restarted'])
    t.equal((await daemon.call('POST', `/v1/tools/${encodeURIComponent(name)}/activate`)).status, 200);
  await Promise.all([
    recovers(t, daemon, 'recycled', /limit/),
    recovers(t, daemon, 'killed', /limit|oom_kill/),
    staysStopped(t, daemon, 'stopped'),
    staysStopped(t, daemon, 'not restarted'),
  ]);
  t.match(
    (await auditOf(daemon, 'recycled', 'action')).find(({ action }) => action === 'recycle'),
    { stage: 'cleanup', outcome: 'done' },
  );
  t.match(
    (await auditOf(daemon, 'killed', 'action')).filter(({ action }) => action === 'recycle'),
    [],
  );
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
});

async function recovers(t: Test, daemon: RunningDaemon, name: string, reason: RegExp): Promise<void> {
  const first = (await daemon.call('GET', `/v1/tools/${name}/runs`)).json.runs.at(-1);
  const view = await waitFor(
    `${name} to be back`,
    async () => {
      const { json } = await daemon.call('GET', `/v1/tools/${name}`);
      return json.state === 'active' && json.lastEnd !== null && json;
    },
    { timeoutMs: 30_000 },
  );
  t.match(view.lastEnd, { reason, resource: 'memory' }, `${name}: why it was ended`);
  t.not(view.runs[0].id, first.id, `${name}: another run`);
  const outcomes = await waitFor(
    `${name} to leak again`,
    async () => {
      const found = (await auditOf(daemon, name, 'recovery')).map(({ outcome }) => outcome as string);
      return found.length > 1 && found;
    },
    { timeoutMs: 30_000 },
  );
  t.same(outcomes.slice(0, 2), ['scheduled', 'failed'], `${name}: on record, and a start alone is no recovery`);
  t.match(
    (await daemon.call('GET', `/v1/tools/${name}/logs`)).json.lines.join('\n'),
    /governor: /,
    `${name}: its log has the reason`,
  );
}

async function staysStopped(t: Test, daemon: RunningDaemon, name: string): Promise<void> {
  const path = `/v1/tools/${encodeURIComponent(name)}`;
  const view = await waitFor(
    `${name} to be stopped`,
    async () => {
      const { json } = await daemon.call('GET', path);
      return json.lastEnd !== null && json;
    },
    { timeoutMs: 30_000 },
  );
  t.match(
    view,
    {
      state: 'registered',
      lastEnd: { reason: 'limit', exit: { signal: 'SIGTERM' } },
      recovery: { nextAttemptAt: null },
    },
    `${name}: and not started again`,
  );
}

t.test('output of every kind', { skip, timeout: patience(110_000) }, async (t) => {
  const fixture = (name: string, ...args: readonly string[]): Readonly<Record<string, unknown>> => {
    const [command, ...words] = fixtureCommand(name, args);
    return { command, args: words, recovery: { strategy: 'stop' } };
  };
  const daemon = await startDaemon(t, {
    config: {
      tools: {
        garbage: fixture('mcp-echo', '--garbage'),
        chatty: fixture('mcp-echo', '--notify-ms=5'),
        'half a line': { ...fixture('mcp-echo', '--half-line'), ready_timeout: '2s' },
        'closes stdout': { ...fixture('mcp-echo', '--close-stdout'), ready_timeout: '2s' },
        flood: { ...fixture('stderr-100mb', '--mb=100'), readiness: 'none', autostart: false },
      },
    },
  });
  t.match(
    (await active(daemon, 'garbage')).server.tools,
    ['echo', 'sleep', 'allocate', 'exit'],
    'lines that are no messages are passed over',
  );
  await active(daemon, 'chatty');
  for (const name of ['half a line', 'closes stdout']) {
    const view = await waitFor(`${name} to fail`, async () => {
      const { json } = await daemon.call('GET', `/v1/tools/${encodeURIComponent(name)}`);
      return json.lastEnd !== null && json;
    });
    t.match(view, { lastEnd: { reason: 'not_ready', message: /did not become ready/ } }, name);
  }
  // It takes some 30 MiB of its own, a few seconds after the first tool was seen.
  await waitFor('the history to be open', async () => {
    const { history } = (await daemon.call('GET', '/v1/host')).json;
    return history.state !== 'waiting';
  });
  const before = residentBytes(daemon.pid);
  t.equal((await daemon.call('POST', '/v1/tools/flood/activate')).status, 200);
  const flood = await waitFor(
    'the flood to end',
    async () => {
      const { json } = await daemon.call('GET', '/v1/tools/flood');
      return json.lastEnd !== null && json;
    },
    { timeoutMs: 60_000 },
  );
  t.match(flood.lastEnd, { reason: 'exited', exit: { code: 0 } }, 'all of it was taken');
  const grown = residentBytes(daemon.pid) - before;
  t.ok(grown < 60 * MIB, `100 MB of stderr made the daemon ${Math.round(grown / MIB)} MiB bigger`);
  const { lines } = (await daemon.call('GET', '/v1/tools/flood/logs?lines=10000')).json;
  t.ok(lines.length > 100 && lines.length <= 1001, `${lines.length as number} lines are kept`);
  t.ok(
    (lines as readonly string[]).every((line) => line.length <= 2001),
    'none of them longer than it may be',
  );
  t.equal((await daemon.call('GET', '/v1/tools/flood/logs?lines=5')).json.lines.length, 5);
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
  t.ok((daemon.output().match(/"tool":"garbage"/g) ?? []).length < 20, 'garbage does not flood the log');
});

// oxlint-disable-next-line typescript/no-explicit-any
function active(daemon: RunningDaemon, name: string): Promise<any> {
  return waitFor(
    `${name} to be active`,
    async () => {
      const { json } = await daemon.call('GET', `/v1/tools/${name}`);
      if (json.state === 'active' && json.server !== null) return json;
      throw new Error(`${json.state as string} ${JSON.stringify(json.lastEnd)}`);
    },
    { timeoutMs: 30_000 },
  );
}
