/** What settings change about the ladder: stages, actions, deadlines, dry run; and whom it leaves alone. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture } from '../helpers/fixture.ts';
import { runStairs, stageReached, statusOf, usageOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { patience, pause } from '../helpers/wait-for.ts';

const skip = lacks('linux') || lacksFixture('stairs');
const base = { command: 'true', autostart: false, readiness: 'none' };

const tools = {
  deadline: { ...base, limits: { file_handles: 60 }, ladder: { escalate_after: { file_handles: '1s' } } },
  early: {
    ...base,
    limits: { memory: '256MiB' },
    stages: { memory: { warning: '20%', throttled: '30%', cleanup: '40%' } },
  },
  'dry run': { ...base, limits: { tasks: 20, cpu: '10%' }, ladder: { quiet: '100ms' }, dry_run: true },
  'told only': { ...base, limits: { tasks: 20 }, actions: { tasks: { cleanup: [], emergency: [] } } },
};

t.test('settings', { skip, timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' }, tools } });
  await t.test('a throttle that lasts becomes a cleanup', (t) => deadline(t, daemon));
  await t.test('stages can be set', (t) => earlyStages(t, daemon));
  await t.test('dry run decides the same and does nothing', (t) => dryRun(t, daemon));
  await t.test('an empty list of actions only tells', (t) => toldOnly(t, daemon));
  await t.test('what runs elsewhere is never acted on', (t) => elsewhere(t, daemon));
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
});

async function deadline(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'deadline');
  await run.said('ready');
  await run.hold('files', 55);
  t.equal(statusOf(await run.ended), 143);
  const stages = await auditOf(daemon, 'deadline', 'stage');
  t.match(stages.at(-1), { resource: 'file_handles', from: 'throttled', to: 'cleanup', cause: 'deadline' });
  t.match(run.stderr(), /open files \d+ is 9\d % of its limit of 60: throttled for too long\n$/);
}

async function earlyStages(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'early');
  await run.said('ready');
  await run.hold('memory', 60);
  t.ok((await stageReached(daemon, 'early', 'memory', 'warning')).ratio < 0.3);
  await run.hold('memory', 88);
  t.ok((await stageReached(daemon, 'early', 'memory', 'throttled')).ratio < 0.4);
  run.ask('memory', 120);
  t.equal(statusOf(await run.ended), 143, 'at less than half of its limit');
  t.match(run.stderr(), /memory .* is 4\d % of its limit of 256 MiB, stage cleanup\n$/);
}

async function dryRun(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'dry run', { args: ['--cpu=120'] });
  await run.said('ready');
  await run.hold('tasks', 14);
  await stageReached(daemon, 'dry run', 'tasks', 'warning');
  await run.hold('tasks', 20);
  await stageReached(daemon, 'dry run', 'tasks', 'cleanup');
  const entries = await auditOf(daemon, 'dry run');
  t.ok(
    entries.filter(({ kind }) => kind === 'stage').every((entry) => entry.dryRun === true),
    'stages are entered, and said to be dry',
  );
  t.ok(
    entries
      .filter(({ kind }) => kind === 'action')
      .every(({ outcome }) => outcome === 'dry_run' || outcome === 'unsupported'),
    'every action is only pretended',
  );
  t.ok(
    entries.some(({ kind, action }) => kind === 'action' && action === 'stop'),
    'also the one that ends',
  );
  t.notOk(
    entries.some(({ kind }) => ['intent', 'outcome', 'cleanup'].includes(kind as string)),
    'nothing was sent',
  );
  await pause(500);
  t.equal(run.child.exitCode ?? run.child.signalCode, null, 'it lives');
  t.match(
    (await daemon.call('GET', '/metrics')).text,
    /governor_actions_total\{tool="dry run",resource="tasks",action="stop",outcome="dry_run"\} [1-9]/,
  );
  t.equal((await daemon.cli(['stop', 'dry run'])).code, 0, 'a person can still stop it');
  t.equal(statusOf(await run.ended), 143);
}

async function toldOnly(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'told only');
  await run.said('ready');
  run.ask('tasks', 40);
  await stageReached(daemon, 'told only', 'tasks', 'emergency');
  await run.hold('tasks', 1);
  await stageReached(daemon, 'told only', 'tasks', 'normal');
  t.equal(run.child.exitCode ?? run.child.signalCode, null, 'it lives, and recovers');
  t.same(
    (await auditOf(daemon, 'told only', 'stage'))
      .map(({ from, to }) => `${from} ${to}`)
      .at(-1)
      ?.split(' ')
      .at(-1),
    'normal',
  );
  await daemon.cli(['stop', 'told only']);
  await run.ended;
}

/** A client of Docker is not what eats the memory: it is shown as what it is. */
async function elsewhere(t: Test, daemon: RunningDaemon): Promise<void> {
  const folder = join(daemon.stateDir, 'bin');
  mkdirSync(folder);
  writeFileSync(join(folder, 'docker'), '#!/bin/sh\nshift 3\nexec "$@"\n', { mode: 0o755 });
  const run = runStairs(t, daemon, 'in docker', {
    flags: ['--tasks', '10', '--file-handles', '40'],
    command: ['docker', 'run', '--rm', 'image', ...fixtureCommand('stairs')],
    env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
  });
  await run.said('ready');
  t.match(
    run.stderr(),
    /^governor: in docker: the process runs in a container of docker; limit it there: .*--memory/,
    'said at the start',
  );
  await run.hold('files', 100);
  await run.hold('tasks', 30);
  await stageReached(daemon, 'in docker', 'tasks', 'emergency');
  await stageReached(daemon, 'in docker', 'file_handles', 'emergency');
  await pause(500);
  t.equal(run.child.exitCode ?? run.child.signalCode, null, 'far above its limits it lives');
  t.notOk(
    run.lines().some((text) => text.startsWith('refused')),
    'and the kernel refused it nothing',
  );
  const { json: tool } = await daemon.call('GET', '/v1/tools/in%20docker');
  t.match(tool.runs[0], { governed: false, notGovernedReason: /container of docker/ });
  t.ok(
    (tool.runs[0].limits as readonly { enforcement: string }[]).every(({ enforcement }) => enforcement === 'none'),
    'no limit is said to be enforced',
  );
  t.equal((await usageOf(daemon, 'in docker', 'tasks')).enforcement, 'none');
  t.match((await daemon.cli(['ls'])).stdout, /in docker .*not governed: .*container of docker/);
  t.same(
    (await auditOf(daemon, 'in docker', 'action')).filter(
      ({ outcome, action }) => outcome === 'done' && action !== 'notify',
    ),
    [],
    'nothing was done to it',
  );
  t.equal((await daemon.cli(['stop', 'in docker'])).code, 0, 'a person can stop it');
  await run.ended;
}
