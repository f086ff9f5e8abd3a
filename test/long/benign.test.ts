/** Programs that look bad and are not: none of them may be acted on, on any backend. */

import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { type GovernedRun, runStairs, usageOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { patience, pause, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
const base = { command: 'true', autostart: false, readiness: 'none' };
const tools = {
  'page cache': { ...base, limits: { memory: '128MiB' } },
  'shared forks': { ...base, limits: { memory: '480MiB' } },
  sawtooth: { ...base, limits: { memory: '320MiB' } },
  burst: {
    ...base,
    limits: { cpu: '100%', memory: '256MiB' },
    actions: { cpu: { cleanup: ['recycle'], emergency: ['kill'] } },
  },
  'while stalled': { ...base, limits: { memory: '128MiB' } },
};

const skip = lacks('linux') || lacksFixture('shared-forks', 'stairs');
const backends = skip === false ? await linuxBackends() : [];
if (skip !== false) t.test('benign', { skip }, () => undefined);

for (const { id: backend, usable, reason } of backends) {
  t.test(`on ${backend}`, { skip: usable ? false : reason, timeout: patience(110_000) }, async (t) => {
    const daemon = await startDaemon(t, { backend, config: { daemon: { sample_interval: '100ms' }, tools } });
    const runs = [
      // More than its kernel cap goes through the page cache.
      start(t, daemon, 'page cache', 'page-cache-reader', ['--mb=250']),
      // 20 × 300 MiB by the sum of their resident sets, 300 MiB in truth.
      start(t, daemon, 'shared forks', 'shared-forks', ['--forks=20', '--mb=300']),
      start(t, daemon, 'sawtooth', 'gc-sawtooth', ['--peak-mb=150', '--period-ms=1000']),
      start(t, daemon, 'burst', 'startup-burst', ['--burst-ms=3000', '--mb=100']),
    ];
    await Promise.all(runs.map((run) => run.said('ready', 60_000)));
    await runs[3]?.said('quiet', 60_000);
    // Without a cgroup it takes a moment until all of them are found.
    const shared = await waitFor('shared pages to count once', async () => {
      const view = await usageOf(daemon, 'shared forks', 'memory');
      if (view.usage > 280 * MIB && view.usage < 320 * MIB) return view;
      throw new Error(`${view.usage / MIB} MiB, ${view.quality as string}`);
    });
    t.ok(shared.ratio < 0.75);
    const cached = await usageOf(daemon, 'page cache', 'memory');
    t.ok(cached.usage < 100 * MIB, `page cache does not count: ${cached.usage / MIB} MiB`);
    await stalledDaemon(t, daemon);
    await pause(1000);
    for (const run of runs) {
      t.equal(run.child.exitCode ?? run.child.signalCode, null, `${run.name} lives`);
      const acts = (await auditOf(daemon, run.name)).filter(
        ({ kind, action, outcome }) =>
          kind === 'intent' || (kind === 'action' && action !== 'notify' && outcome === 'done'),
      );
      // A busy start may be slowed down; that harms nobody.
      t.same(
        acts
          .filter(({ resource }) => resource !== 'cpu')
          .map(({ kind, action, resource }) => `${kind} ${action} ${resource}`),
        [],
        `${run.name} was not acted on`,
      );
    }
    t.same(
      (await auditOf(daemon, 'burst', 'stage')).filter(({ resource, to }) => resource === 'cpu' && to !== 'normal'),
      [],
      'a busy start is not even a CPU stage',
    );
    t.notMatch(
      daemon.output(),
      /could not be carried out|sampling failed|the end of a run failed/,
      'the daemon met no error',
    );
    for (const run of runs) run.child.kill('SIGKILL');
  });
}

/** A violation that came and went while the daemon did not run is no violation; one that stays is found afterwards. */
async function stalledDaemon(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'while stalled');
  await run.said('ready');
  await waitFor('a sample', async () => (await usageOf(daemon, 'while stalled', 'memory'))?.usage !== null);
  process.kill(daemon.pid, 'SIGSTOP');
  try {
    await run.hold('memory', 150);
    await pause(2500);
    await run.hold('memory', 2);
  } finally {
    process.kill(daemon.pid, 'SIGCONT');
  }
  await waitFor('a fresh sample', async () => (await usageOf(daemon, 'while stalled', 'memory')).usage < 20 * MIB);
  t.equal(
    run.child.exitCode ?? run.child.signalCode,
    null,
    'what passed while the daemon stood still is not held against the tool',
  );
  t.same(
    (await auditOf(daemon, 'while stalled', 'stage')).map(({ to }) => to as string),
    [],
    'no stage was entered',
  );
  run.ask('memory', 150);
  await run.ended;
  t.match(
    (await auditOf(daemon, 'while stalled', 'cleanup')).at(-1),
    { reason: 'limit' },
    'and the daemon has not gone blind',
  );
}

function start(t: Test, daemon: RunningDaemon, name: string, fixture: string, args: readonly string[]): GovernedRun {
  return runStairs(t, daemon, name, { command: fixtureCommand(fixture, args), lifeMs: 100_000 });
}
