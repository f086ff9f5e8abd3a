import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import type { Containment } from '../../lib/os/backend.ts';
import { withoutHeadStarts } from '../../lib/os/cgroup2/grace-period.ts';
import { readCgroupMounts } from '../../lib/os/mounts.ts';
import { isGovernorError } from '../helpers/governor-error.ts';
import { cgroupBenches, emptied, endAll, limitsOf } from '../helpers/cgroup-backends.ts';
import { lacksFixture } from '../helpers/fixture.ts';
import { startGated } from '../helpers/gated.ts';
import { lacks } from '../helpers/skip.ts';
import { identityOf, isAlive, survivorsAfter } from '../helpers/survivors.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';

interface Escape {
  readonly fixture: string;
  readonly args?: readonly string[];
  readonly needs?: string | false;
}

const ESCAPES: readonly Escape[] = [
  { fixture: 'escape-setsid-double-fork', needs: lacks('setsid') },
  { fixture: 'hop-fork' },
  { fixture: 'hop-fork', args: ['--setsid=1'] },
  { fixture: 'env-i-daemon', args: [process.execPath], needs: lacks('setsid') },
  { fixture: 'fork-bomb', args: ['--max=300'] },
  { fixture: 'ignore-term' },
  { fixture: 'term-handler-forks' },
  { fixture: 'stopped' },
  { fixture: 'zombie-leader' },
];

for (const bench of await cgroupBenches()) {
  for (const { fixture, args = [], needs = false } of ESCAPES) {
    const skip = needs === false ? lacksFixture(fixture) : needs;
    t.test(`${bench.id}: nobody survives ${fixture} ${args.join(' ')}`, { skip }, async (t) => {
      const run = await bench.create(t, limitsOf({ tasks: 100 }));
      const tool = startGated(t, fixture, { args, lifeMs: 20_000 });
      await run.attach(tool.identity);
      tool.go();
      await tool.said('ready');
      if (fixture === 'ignore-term' || fixture === 'term-handler-forks') await run.killer.signal('SIGTERM');
      await pause(100);
      t.ok(run.membership.members().length > 0, 'it runs');
      await endAll(run);
      t.same(await survivorsAfter(tool.marker, 1000), []);
      assertNothingLeft(t, run);
    });
  }

  t.test(`${bench.id}: a kill right after the launcher came in`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    tool.go();
    await endAll(run);
    t.same(await survivorsAfter(tool.marker, 1000), []);
  });

  t.test(`${bench.id}: a frozen tree`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    const file = freezeFile(run);
    writeFileSync(file, file.endsWith('state') ? 'FROZEN' : '1');
    await endAll(run);
    t.same(await survivorsAfter(tool.marker, 1000), []);
  });

  t.test(`${bench.id}: lifting all brakes thaws`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    const file = freezeFile(run);
    writeFileSync(file, file.endsWith('state') ? 'FROZEN' : '1');
    await run.brakes.lift();
    t.equal(await run.killer.signal('SIGTERM'), 1);
    t.ok(await tool.ended, 'it could act on a polite signal');
  });

  t.test(`${bench.id}: sub-groups that the tool made`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'open-files', { args: ['--count=30'] });
    await run.attach(tool.identity);
    const inner = join(membershipOf(run), 'made-by-tool');
    mkdirSync(join(inner, 'deeper'), { recursive: true });
    // In v2 a group with processes and one with controllers exclude each other; a move into an empty leaf is allowed.
    t.equal(moveInto(join(inner, 'deeper', 'cgroup.procs'), tool.identity.pid), null);
    tool.go();
    await tool.said('ready');
    t.same(
      run.membership.members().map(({ pid }) => pid),
      [tool.identity.pid],
    );
    const sample = run.usage.sample(performance.now(), true);
    t.equal(sample.populated, true);
    t.ok(sample.fileHandles.kind === 'measured' && sample.fileHandles.value >= 30, 'its file handles count');
    await endAll(run);
    assertNothingLeft(t, run);
  });

  t.test(`${bench.id}: a tool that makes a threaded sub-group`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'open-files', { args: ['--count=30'] });
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    t.comment(moveThread(join(membershipOf(run), 'threads'), tool.identity.pid) ?? 'done');
    t.same(
      run.membership.members().map(({ pid }) => pid),
      [tool.identity.pid],
    );
    const { populated, fileHandles } = run.usage.sample(performance.now(), true);
    t.equal(populated, true);
    t.ok(fileHandles.kind === 'measured' && fileHandles.value >= 30);
    await endAll(run);
    t.same(await survivorsAfter(tool.marker, 1000), []);
    assertNothingLeft(t, run);
  });

  t.test(`${bench.id}: polite signals reach the stopped, too`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    process.kill(tool.identity.pid, 'SIGSTOP');
    t.equal(await run.killer.signal('SIGTERM'), 1);
    await tool.ended;
    await emptied(run);
    t.equal(await run.killer.signal('SIGTERM'), 0, 'an empty tree');
    await run.killer.kill();
  });

  t.test(`${bench.id}: nothing is removed while somebody is in it`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    await t.rejects(run.remove(50), isGovernorError('tool_unproven'));
    t.ok(isAlive(tool.identity));
    await endAll(run);
    await run.remove(50);
    await run.killer.kill();
    t.pass('both are fine on what is gone');
  });

  t.test(`${bench.id}: strangers are never attached`, async (t) => {
    const run = await bench.create(t);
    const stranger = startGated(t, 'idle');
    const { pid, startTicks } = stranger.identity;
    await t.rejects(run.attach({ pid, startTicks: startTicks - 1 }), isGovernorError('launch_failed'));
    t.same(run.membership.members(), []);
    await t.rejects(run.attach({ pid: 2 ** 22 - 1, startTicks: 1 }), isGovernorError('launch_failed'));
  });

  t.test(`${bench.id}: it never kills the daemon`, async (t) => {
    const run = await bench.create(t);
    const home = ownGroup();
    const self = identityOf(process.pid);
    if (self === null) throw new Error('no identity of this process');
    const refused = await withoutHeadStarts(async () => moveInto(join(membershipOf(run), 'cgroup.procs'), process.pid));
    if (refused !== null) {
      t.pass(`out of a login session nobody but systemd can move this process: ${refused}`);
      return;
    }
    try {
      t.ok(
        run.membership.members().some(({ pid }) => pid === process.pid),
        'it is in the group',
      );
      await t.rejects(run.killer.kill(), /refused to kill/);
    } finally {
      writeFileSync(home, String(process.pid));
    }
  });

  t.test(`${bench.id}: the end of the tree wakes the watcher`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    if (!existsSync(join(membershipOf(run), 'cgroup.events'))) {
      t.pass('cgroup v1 alone has no events: the monitor polls');
      return;
    }
    let woken = 0;
    const dispose = run.watch(() => {
      woken += 1;
    });
    tool.go();
    await tool.said('ready');
    await run.killer.kill();
    await waitFor('the watcher to be called', () => woken > 0);
    dispose();
  });
}

function membershipOf(run: Containment): string {
  const { directories } = run.record;
  const names = ['unified', 'freezer', 'pids', 'memory'];
  const found = names
    .map((name) => directories.find(({ hierarchy }) => hierarchy === name))
    .find((one) => one !== undefined);
  if (found === undefined) throw new Error('no directory');
  return found.path;
}

/** `cgroup.procs` of the group that this process is in now. */
function ownGroup(): string {
  const { unified, byController } = readCgroupMounts();
  const own = unified ?? byController.get('freezer');
  if (own === undefined) throw new Error('no hierarchy');
  return join(own.ownDirectory, 'cgroup.procs');
}

/** @returns why the kernel refuses it */
function moveInto(file: string, pid: number): string | null {
  try {
    writeFileSync(file, String(pid));
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    return (error as Error).message;
  }
}

/** @returns why the kernel refuses it: v1, or a group with domain controllers */
function moveThread(directory: string, pid: number): string | null {
  mkdirSync(directory);
  try {
    writeFileSync(join(directory, 'cgroup.type'), 'threaded', { flag: 'r+' });
    writeFileSync(join(directory, 'cgroup.threads'), String(pid), { flag: 'r+' });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function freezeFile(run: Containment): string {
  const v2 = join(membershipOf(run), 'cgroup.freeze');
  return existsSync(v2) ? v2 : join(membershipOf(run), 'freezer.state');
}

function assertNothingLeft(
  t: { same(found: unknown, wanted: unknown, message: string): unknown },
  run: Containment,
): void {
  t.same(
    run.record.directories.filter(({ path }) => existsSync(path)),
    [],
    'no directory is left',
  );
}
