/** The life of tools over REST, with real processes: every way in and out, also in the middle of a start. */

import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { lacksFixture, newMarker } from '../helpers/fixture.ts';
import { define, register } from '../helpers/registered.ts';
import { runStairs, usageOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { survivors, survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');

t.test('lifecycle', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  await t.test('register, activate, deactivate, unregister', (t) => wholeLife(t, daemon));
  await t.test('without a handshake', (t) => withoutHandshake(t, daemon));
  await t.test('unregistered while it starts', (t) => whileStarting(t, daemon, 'unregister'));
  await t.test('deactivated while it starts', (t) => whileStarting(t, daemon, 'deactivate'));
  await t.test('restart', (t) => restart(t, daemon));
  await t.test('two runs of one tool', { skip: lacksFixture('stairs') }, (t) => twins(t, daemon));
  await t.test('contexts', { skip: lacksFixture('stairs') }, (t) => contexts(t, daemon));
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
});

async function wholeLife(t: Test, daemon: RunningDaemon): Promise<void> {
  const { name, path, marker } = await register(t, daemon, 'whole life', 'mcp-echo');
  t.equal((await define(daemon, name, 'mcp-echo', [], newMarker())).json.code, 'tool_exists');
  t.match((await daemon.call('GET', path)).json, {
    state: 'registered',
    runs: [],
    server: null,
    lastEnd: null,
    origin: 'api',
    managed: true,
  });

  const started = await daemon.call('POST', `${path}/activate`, { context: 'me' });
  t.match(started, {
    status: 200,
    json: { tool: name, state: 'running', mode: 'managed', context: 'me', governed: true, end: null },
  });
  const active = (await daemon.call('GET', path)).json;
  t.match(active, { state: 'active', server: { tools: ['echo', 'sleep', 'allocate', 'exit'] } });
  t.equal(active.runs[0].pid, started.json.pid);
  t.ok(
    survivors(marker).some(({ pid }) => pid === started.json.pid),
    'that is the process',
  );

  const stopped = await daemon.call('POST', `${path}/deactivate`);
  t.match(stopped, {
    status: 200,
    json: {
      state: 'registered',
      lastEnd: { reason: 'requested', exit: { code: 0 }, cleanup: { proven: true, left: {} } },
      server: null,
    },
  });
  t.same(survivors(marker), [], 'answered only when it was over');
  t.match(
    (await daemon.call('POST', `${path}/deactivate`)).json,
    { state: 'registered' },
    'a second stop has nothing to do',
  );

  const [first, second] = await Promise.all([
    daemon.call('POST', `${path}/activate`),
    daemon.call('POST', `${path}/activate`),
  ]);
  t.same([first.status, second.status], [200, 200]);
  t.not(first.json.id, second.json.id, 'each activation is a run of its own');
  t.match(
    await daemon.call('POST', `${path}/deactivate`, { run: first.json.id }),
    { status: 200, json: { state: 'active' } },
    'one of two',
  );
  t.equal((await daemon.call('POST', `${path}/deactivate`, { run: first.json.id })).json.code, 'unknown_run');

  const gone = await Promise.all([daemon.call('DELETE', path), daemon.call('DELETE', path)]);
  t.ok(
    gone.some(({ status }) => status === 204) && gone.every(({ status }) => [204, 404, 409].includes(status)),
    `unregistered twice at once: ${gone.map(({ status }) => status).join()}`,
  );
  t.same(survivors(marker), []);
  for (const [method, url] of [
    ['GET', path],
    ['DELETE', path],
    ['POST', `${path}/activate`],
    ['POST', `${path}/deactivate`],
    ['POST', `${path}/restart`],
    ['GET', `${path}/usage`],
  ] as const) {
    t.equal((await daemon.call(method, url)).json.code, 'unknown_tool', `${method} ${url}`);
  }
  t.match(
    (await daemon.call('GET', `/v1/runs/${second.json.id as string}`)).json,
    { state: 'ended', end: { reason: 'unregistered' } },
    'its runs are still known',
  );
  const steps = (await auditOf(daemon, name, 'lifecycle')).map(
    ({ from, to }) => [from as string, to as string] as const,
  );
  t.same(
    steps.slice(0, 7).map(([, to]) => to),
    ['registered', 'activating', 'active', 'deactivating', 'registered', 'activating', 'active'],
  );
  t.ok(
    steps.every(([from], index) => index === 0 || from === steps[index - 1]?.[1]),
    `each state follows from the one before: ${steps.map(([, to]) => to).join(' ')}`,
  );
}

async function withoutHandshake(t: Test, daemon: RunningDaemon): Promise<void> {
  const { path, marker } = await register(t, daemon, 'plain', 'idle', { readiness: 'none', grace: '2s' });
  const started = await daemon.call('POST', `${path}/activate`);
  t.match(started.json, { state: 'running' });
  t.match((await daemon.call('GET', path)).json, { state: 'active', server: null });
  await waitFor('the process', () => survivors(marker).length === 1);
  t.match((await daemon.call('POST', `${path}/deactivate`)).json, {
    lastEnd: { reason: 'requested', exit: { signal: 'SIGTERM' } },
  });
  t.same(survivors(marker), []);
  t.equal((await daemon.call('DELETE', path)).status, 204);
}

async function whileStarting(t: Test, daemon: RunningDaemon, how: 'unregister' | 'deactivate'): Promise<void> {
  const { path, marker } = await register(t, daemon, `${how} while starting`, 'mcp-echo', {
    args: ['--never-initialize', '--ignore-eof'],
    grace: '500ms',
  });
  const starting = daemon.call('POST', `${path}/activate`);
  await waitFor(
    'the process',
    async () => (await daemon.call('GET', path)).json.state === 'activating' && survivors(marker).length > 0,
  );
  const answer =
    how === 'unregister' ? await daemon.call('DELETE', path) : await daemon.call('POST', `${path}/deactivate`);
  t.equal(answer.status, how === 'unregister' ? 204 : 200);
  t.same(survivors(marker), [], 'over when that is answered');
  const refused = await starting;
  t.ok(refused.status >= 400, `the start is answered, too: ${refused.status} ${refused.text}`);
  const after = await daemon.call('GET', path);
  if (how === 'unregister') t.equal(after.status, 404);
  else
    t.match(
      after.json,
      { state: 'registered', recovery: { nextAttemptAt: null } },
      'and not started again: someone wanted it stopped',
    );
  if (how === 'deactivate') t.equal((await daemon.call('DELETE', path)).status, 204);
}

async function restart(t: Test, daemon: RunningDaemon): Promise<void> {
  const { path, marker } = await register(t, daemon, 'again', 'mcp-echo');
  const first = (await daemon.call('POST', `${path}/activate`)).json;
  t.match((await daemon.call('POST', `${path}/restart`)).json, { state: 'active', lastEnd: { reason: 'restart' } });
  const second = (await daemon.call('GET', path)).json.runs[0];
  t.not(second.id, first.id);
  t.not(second.pid, first.pid);
  t.equal((await daemon.call('POST', `${path}/restart`, { run: first.id })).json.code, 'unknown_run');
  t.equal((await daemon.cli(['restart', `again/${second.id as string}`])).code, 0);
  const runs = (await daemon.call('GET', `${path}/runs`)).json.runs as readonly { id: string; state: string }[];
  t.same(
    runs.map(({ state }) => state),
    ['running', 'ended', 'ended'],
  );
  t.equal(survivors(marker).length, 1);
  t.equal((await daemon.call('DELETE', path)).status, 204);
  t.same(survivors(marker), []);
}

/** A tool's usage is the sum over its runs, its ratio the highest of them. */
async function twins(t: Test, daemon: RunningDaemon): Promise<void> {
  const runs = [1, 2].map(() => runStairs(t, daemon, 'twins', { flags: ['--tasks', '20'] }));
  for (const run of runs) await run.said('ready');
  await runs[0]?.hold('tasks', 4);
  await runs[1]?.hold('tasks', 15);
  const view = await waitFor('both to be measured', async () => {
    const seen = await usageOf(daemon, 'twins', 'tasks');
    return seen?.usage === 21 && seen;
  });
  t.match(view, { usage: 21, limit: 20, ratio: 0.8 }, 'the sum may pass the limit of one');
  await waitFor('the warning of one', async () => (await usageOf(daemon, 'twins', 'tasks')).stage === 'warning');
  const usage = (await daemon.call('GET', '/v1/tools/twins/usage')).json;
  t.same(
    (usage.runs as readonly { resources: readonly { resource: string; usage: number }[] }[])
      .map(({ resources }) => resources.find(({ resource }) => resource === 'tasks')?.usage)
      .toSorted(),
    [16, 5].toSorted(),
  );
  t.equal(usage.state, 'active');
  for (const [index, run] of runs.entries()) {
    run.ask('exit', index);
    await run.ended;
    if (index === 0)
      await waitFor(
        'one run',
        async () =>
          (await daemon.call('GET', '/v1/tools/twins')).json.runs.filter(
            (view: { state: string }) => view.state === 'running',
          ).length === 1,
      );
  }
  await waitFor('the tool to be forgotten', async () => (await daemon.call('GET', '/v1/tools/twins')).status === 404);
}

async function contexts(t: Test, daemon: RunningDaemon): Promise<void> {
  const [a, b, other] = [
    runStairs(t, daemon, 'context a', { flags: ['--context', 'alpha'] }),
    runStairs(t, daemon, 'context b', { flags: ['--context', 'alpha'] }),
    runStairs(t, daemon, 'context c', { flags: ['--context', 'beta'] }),
  ];
  for (const run of [a, b, other]) await run.said('ready');
  const listed = (await daemon.call('GET', '/v1/contexts')).json.contexts as readonly {
    id: string;
    runs: readonly { tool: string }[];
  }[];
  t.same(
    listed
      .find(({ id }) => id === 'alpha')
      ?.runs.map(({ tool }) => tool)
      .toSorted(),
    ['context a', 'context b'],
  );
  t.equal((await daemon.call('DELETE', '/v1/contexts/alpha')).status, 204);
  await Promise.all([a.ended, b.ended]);
  t.match(a.stderr(), /^governor: context a: stopped: its context alpha ended\n$/);
  t.same(await survivorsAfter(a.marker, 1000), []);
  t.equal(other.child.exitCode ?? other.child.signalCode, null, 'another context is none of its business');
  t.match(await daemon.call('DELETE', '/v1/contexts/alpha'), { status: 404, json: { code: 'unknown_context' } });
  t.equal((await daemon.call('DELETE', '/v1/contexts/beta')).status, 204);
  await other.ended;
}
