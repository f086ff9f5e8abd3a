/** A tool that uses the client library, under a real daemon: it is told of pressure, and its handles are closed at the end. */

import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { newStateDir, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, startFixture } from '../helpers/fixture.ts';
import { register } from '../helpers/registered.ts';
import { lacks } from '../helpers/skip.ts';
import { type GovernedRun, runStairs, statusOf } from '../helpers/stairs.ts';
import { survivorsAfter } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = lacks('linux');
const MIB = 2 ** 20;

function runTool(
  t: Test,
  daemon: RunningDaemon,
  name: string,
  args: readonly string[],
  flags: readonly string[] = [],
): GovernedRun {
  return runStairs(t, daemon, name, { command: fixtureCommand('library-tool', args), flags });
}

const closed = (run: GovernedRun): string[] =>
  run
    .lines()
    .flatMap((line) => (line.startsWith('closed ') ? [(JSON.parse(line.slice(7)) as { name: string }).name] : []));

/** The cleanup of the tool's only run, when it is over. */
// oxlint-disable-next-line typescript/no-explicit-any
async function cleanupOf(daemon: RunningDaemon, tool: string): Promise<any> {
  const entry = await waitFor('the cleanup to be on record', async () =>
    (await auditOf(daemon, tool, 'cleanup')).at(-1),
  );
  return entry.report;
}

// oxlint-disable-next-line typescript/no-explicit-any
const handlesStep = (report: any): unknown =>
  report.steps.find(({ label }: { label: string }) => label === '1 handles');

/** Until the daemon knows of so many handles. */
function held(daemon: RunningDaemon, tool: string, count: number): Promise<boolean> {
  return waitFor(`${count} handles of ${tool}`, async () => {
    const { json } = await daemon.call('GET', `/v1/tools/${encodeURIComponent(tool)}/runs`);
    if (json.runs?.[0]?.handles === count) return true;
    throw new Error(JSON.stringify(json));
  });
}

t.test('client', { skip, timeout: patience(200_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' }, tools: {} } });

  t.test('told of pressure, with the numbers', async (t) => {
    const run = runTool(t, daemon, 'pressed', ['--listen=memory,tasks'], ['--memory', '200MiB']);
    t.match(await run.said('ready'), { pressure: [{ supported: true, reason: null }, { supported: true }] });
    run.child.stdin?.write('climb\n');
    const event = await run.said('pressure', 60_000);
    t.match(event, { resource: 'memory', stage: 'warning', limit: 200 * MIB });
    t.ok(Number(event['usage']) >= 150 * MIB && Number(event['ratio']) >= 0.75, JSON.stringify(event));
    t.same((await auditOf(daemon, 'pressed', 'action'))[0], {
      ...(await auditOf(daemon, 'pressed', 'action'))[0],
      action: 'notify',
      outcome: 'done',
      detail: '1 listeners',
    });
  });

  t.test('handles are closed first: critical ones, then in reverse order, and it is in the report', async (t) => {
    const run = runTool(t, daemon, 'holder', ['--handles=one,two!,three,four!']);
    t.match(await run.said('ready'), { handles: [{ supported: true }, {}, {}, {}] });
    await held(daemon, 'holder', 4);
    t.equal((await daemon.cli(['stop', 'holder'])).code, 0);
    t.equal(statusOf(await run.ended), 0, 'and then it ends by itself at SIGTERM');
    t.same(closed(run), ['four', 'two', 'three', 'one']);
    t.ok(
      run.lines().findIndex((line) => line.startsWith('term')) >
        run.lines().findLastIndex((line) => line.startsWith('closed')),
      'before SIGTERM',
    );
    t.match(await run.said('closed'), { reason: 'requested' });
    const report = await cleanupOf(daemon, 'holder');
    t.match(handlesStep(report), { outcome: 'ok', detail: '4 handles: 4 closed' });
    t.match(report, { held: { handles: 4 }, reclaimed: { handles: 4 }, left: {}, proven: true });
    const labels = (report.steps as readonly { label: string }[]).map(({ label }) => label);
    t.same(labels.slice(0, 4), ['0 brakes', '1 handles', '1 connection', '2 process']);
  });

  t.test('one that fails and one that hangs: said, and the rest goes on within the grace', async (t) => {
    const run = runTool(t, daemon, 'clumsy', ['--handles=good,stuck?,endless~,slow+'], ['--grace', '4s']);
    await run.said('ready');
    await held(daemon, 'clumsy', 4);
    await daemon.cli(['stop', 'clumsy']);
    await run.ended;
    t.same(closed(run).sort(), ['good', 'slow']);
    const report = await cleanupOf(daemon, 'clumsy');
    t.match(handlesStep(report), {
      outcome: 'failed',
      detail: '4 handles: 2 closed, 2 not: endless (it was not closed in time), stuck (stuck is stuck)',
    });
    t.match(report, { held: { handles: 4 }, left: { handles: 2 }, proven: true });
    t.ok(report.graceMs <= patience(6_000), `within its grace: ${report.graceMs}`);
    t.same(await survivorsAfter(run.marker, 2_000), []);
  });

  t.test('one that does not answer is not waited for beyond its deadline', async (t) => {
    const run = runTool(t, daemon, 'deaf', ['--handles=one'], ['--grace', '2s']);
    await run.said('ready');
    await held(daemon, 'deaf', 1);
    run.child.stdin?.write('block 600000\n');
    await run.said('blocked');
    await daemon.cli(['stop', 'deaf']);
    t.equal(statusOf(await run.ended), 137);
    const report = await cleanupOf(daemon, 'deaf');
    t.match(handlesStep(report), {
      outcome: 'failed',
      detail: '1 handle: 0 closed, 1 not: all (no answer within 1000 ms)',
    });
    t.match(report, { left: { handles: 1 }, proven: true });
  });

  t.test('a limit: handles are closed before the tool is stopped for it', async (t) => {
    const run = runTool(t, daemon, 'limited', ['--handles=db'], ['--memory', '128MiB']);
    await run.said('ready');
    await held(daemon, 'limited', 1);
    run.child.stdin?.write('memory 135\n');
    await run.said('closed', 30_000);
    await run.ended;
    const report = await cleanupOf(daemon, 'limited');
    t.match(handlesStep(report), { outcome: 'ok', detail: '1 handle: 1 closed' });
    t.match(await run.said('closed'), { name: 'db', reason: 'limit' });
  });

  t.test('a tool that closed them itself, or has none, is not asked', async (t) => {
    const run = runTool(t, daemon, 'tidy', ['--handles=one,two']);
    await run.said('ready');
    run.child.stdin?.write('close\n');
    t.same(await run.said('report'), { held: 2, closed: 2, failed: [] });
    await held(daemon, 'tidy', 0);
    await daemon.cli(['stop', 'tidy']);
    await run.ended;
    t.match(handlesStep(await cleanupOf(daemon, 'tidy')), { outcome: 'ok', detail: 'none registered' });
  });

  t.test('it keeps no tool alive', async (t) => {
    const run = runTool(t, daemon, 'leaver', ['--handles=one', '--listen=memory', '--leave']);
    t.same(await run.ended, { code: 0, signal: null });
    t.same(closed(run), []);
    t.match(await cleanupOf(daemon, 'leaver'), { left: {} });
  });

  t.test('a tool of the daemon', async (t) => {
    const { name, path } = await register(t, daemon, 'managed holder', 'library-tool', {
      args: ['--handles=one,two'],
      readiness: 'none',
    });
    t.equal((await daemon.call('POST', `${path}/activate`)).status, 200);
    await held(daemon, name, 2);
    t.equal((await daemon.call('POST', `${path}/deactivate`)).status, 200);
    t.match(handlesStep(await cleanupOf(daemon, name)), { outcome: 'ok', detail: '2 handles: 2 closed' });
  });

  t.test('without Governor', async (t) => {
    const tool = startFixture(t, 'library-tool', {
      args: ['--listen=memory', '--handles=one'],
      env: { GOVERNOR_SOCKET: undefined, MEMORY_PRESSURE_WATCH: undefined },
    });
    const reason = 'this process was not started by Governor: GOVERNOR_SOCKET is not set';
    t.match(await tool.said('ready'), {
      pressure: [{ supported: false, reason }],
      handles: [{ supported: false, reason }],
    });
    tool.child.stdin?.write('close\n');
    t.same(await tool.said('report'), { held: 1, closed: 1, failed: [] });
  });
});

t.test('the daemon is killed and another one comes', { skip, timeout: patience(100_000) }, async (t) => {
  const stateDir = newStateDir(t);
  const first = await startDaemon(t, { stateDir, config: { daemon: { sample_interval: '100ms' }, tools: {} } });
  const run = runTool(t, first, 'stays', ['--handles=one', '--listen=memory'], ['--memory', '200MiB']);
  await run.said('ready');
  await first.stop('SIGKILL');
  const second = await startDaemon(t, { stateDir, config: { daemon: { sample_interval: '100ms' }, tools: {} } });
  const adopted = await waitFor(
    'it to be adopted',
    async () => (await second.call('GET', '/v1/tools/stays')).json.runs?.[0],
  );
  t.equal(adopted.state, 'running');
  run.child.stdin?.write('climb\n');
  t.match(await run.said('pressure', 60_000), { resource: 'memory', stage: 'warning' }, 'told by the new one');
  await held(second, 'stays', 1);
  await second.cli(['stop', 'stays']);
  await run.ended;
  t.same(closed(run), ['one'], 'which knows of its handles');
});

t.test('on every backend', { skip, timeout: patience(200_000) }, async (t) => {
  for (const { id, usable, reason } of await linuxBackends()) {
    t.test(id, { skip: usable ? false : reason }, async (t) => {
      const daemon = await startDaemon(t, { backend: id, config: { daemon: { sample_interval: '100ms' }, tools: {} } });
      const run = runTool(t, daemon, 'holder', ['--handles=one,two']);
      await run.said('ready');
      await held(daemon, 'holder', 2);
      await daemon.cli(['stop', 'holder']);
      await run.ended;
      t.same(closed(run), ['two', 'one']);
      t.match(handlesStep(await cleanupOf(daemon, 'holder')), { outcome: 'ok', detail: '2 handles: 2 closed' });
    });
  }
});
