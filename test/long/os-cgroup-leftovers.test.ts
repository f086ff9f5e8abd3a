/** What a daemon leaves that is killed in the middle of making groups or of removing them, and what the next one does. */

import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';

import { leftTops } from '../../lib/os/cgroup2/left-tops.ts';
import { procfsFacts } from '../../lib/os/procfs/process-facts.ts';
import { tryRun } from '../../lib/os/try-run.ts';
import { acquireInstanceLock, stateOfInstance } from '../../lib/process/instance-lock.ts';
import type { LedgerEntry } from '../../lib/process/ledger.ts';
import { terminate } from '../../lib/process/terminate.ts';
import { reconcile } from '../../lib/supervisor/reconcile.ts';
import { Registry } from '../../lib/supervisor/registry.ts';
import { quoted } from '../../daemon/cli/leftovers.ts';
import { type Bench, cgroupBenches } from '../helpers/cgroup-backends.ts';
import { cleanEnvironment, LAUNCHER, runCommand } from '../helpers/daemon.ts';
import { fakeWorld, TEMP_ROOT } from '../helpers/fake-ports.ts';
import { fakeDefinition } from '../helpers/fake-views.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { type Gated, startGated } from '../helpers/gated.ts';
import { isAlive } from '../helpers/survivors.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { waitFor } from '../helpers/wait-for.ts';

/** All there are: the groups of a run are made at the same time, and removed at the same time, so any may be there. */
function subsetsOf<T>(all: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: 2 ** all.length }, (_, bits) => all.filter((_one, index) => (bits & (1 << index)) !== 0));
}

const SELF = { pid: process.pid, startTicks: 0 };
const never = async (): Promise<boolean> => false;

let serial = 0;
const newRunId = (): string => `l${String(process.pid).padStart(6, '0').slice(-6)}${String(++serial).padStart(3, '0')}`;

function entryOf(runId: string, overrides: Partial<LedgerEntry>): LedgerEntry {
  return {
    version: 1,
    runId,
    tool: 'tool',
    bootId: 'this-boot',
    mode: 'direct',
    step: 'intended',
    startedWallMs: 0,
    leader: null,
    clients: [],
    detached: false,
    context: null,
    tempDir: `${TEMP_ROOT}/${runId}`,
    tempRoot: TEMP_ROOT,
    containment: null,
    definition: fakeDefinition('tool', { origin: 'run' }),
    command: ['tool'],
    cwd: '/',
    ...overrides,
  };
}

interface Successor {
  /** What became of the entries. */
  readonly accounts: readonly unknown[];
  readonly onRecord: readonly string[];
  afterwards(): Promise<void>;
}

/** The next daemon: its groups are real, the rest of it is in memory. */
async function succeed(
  t: TestScope,
  bench: Bench,
  entries: readonly LedgerEntry[],
  waiting: readonly number[] = [],
): Promise<Successor> {
  const backend = await bench.reopen();
  const world = fakeWorld({ backend, terminate });
  for (const entry of entries) world.ledger.set(entry.runId, entry);
  const registry = new Registry({
    ports: world.ports,
    loadDefinitions: () => Promise.resolve({ definitions: [], notes: [] }),
    events: { subscribe: () => () => undefined },
    onPass: () => undefined,
    onSample: () => undefined,
    onForgotten: () => undefined,
  });
  t.teardown(async () => {
    await registry.close('all');
    await backend.close();
  });
  const afterwards = await reconcile({
    ports: world.ports,
    registry,
    restoreDefinition: () => fakeDefinition('tool', { origin: 'run' }),
    waiting: new Set(waiting),
  });
  return {
    get accounts() {
      return world.recordsOf('daemon').map(({ detail }) => detail);
    },
    get onRecord() {
      return [...world.ledger.keys()];
    },
    afterwards,
  };
}

const present = (paths: readonly string[]): readonly string[] => paths.filter((path) => existsSync(path));
const ACCOUNT = { adopted: [], ended: [], cleaned: [], failed: [], interrupted: [], damaged: [] };

function putInto(group: string, { identity }: Gated): void {
  writeFileSync(join(group, 'cgroup.procs'), String(identity.pid));
}

for (const bench of await cgroupBenches()) {
  t.test(`${bench.id}: killed while it made the groups of a run`, async (t) => {
    const anyRun = bench.backend.plan(newRunId()).directories;
    for (const which of subsetsOf(anyRun.map((_, index) => index))) {
      const runId = newRunId();
      const plan = bench.backend.plan(runId);
      t.equal(plan.backend, bench.id);
      for (const index of which) mkdirSync(plan.directories[index] ?? '');
      const next = await succeed(t, bench, [entryOf(runId, { plan })]);
      t.same(present(plan.directories), [], `made: ${which.join()}`);
      t.match(next.accounts, [{ ...ACCOUNT, cleaned: [`tool/${runId}`] }]);
      t.same(next.onRecord, []);
    }
  });

  t.test(`${bench.id}: the plan names exactly what is made`, async (t) => {
    const run = await bench.create(t);
    const { directories } = bench.backend.plan(run.record.cookie);
    t.same(directories.toSorted(), [...new Set(run.record.directories.map(({ path }) => path))].toSorted());
  });

  t.test(`${bench.id}: killed while it removed the groups of a run`, async (t) => {
    const anyRun = bench.backend.plan(newRunId()).directories;
    for (const step of ['running', 'stopping'] as const) {
      for (const which of subsetsOf(anyRun.map((_, index) => index))) {
        const run = await bench.create(t);
        const { record } = run;
        run.close();
        const plan = bench.backend.plan(record.cookie);
        for (const index of which) rmdirSync(plan.directories[index] ?? '');
        const leader = { pid: 2 ** 22, startTicks: 1 };
        const entry = entryOf(record.cookie, { step, leader, plan, containment: JSON.parse(JSON.stringify(record)) });
        const next = await succeed(t, bench, [entry]);
        t.same(present(plan.directories), [], `${step}, removed: ${which.join()}`);
        const name = `tool/${record.cookie}`;
        const all = which.length === anyRun.length;
        t.match(next.accounts, [{ ...ACCOUNT, ...(all ? { cleaned: [name] } : { ended: [name] }) }]);
        t.same(next.onRecord, []);
      }
    }
  });

  t.test(`${bench.id}: killed while it moved a launcher into the groups`, async (t) => {
    const anyRun = bench.backend.plan(newRunId()).directories;
    for (const which of subsetsOf(anyRun.map((_, index) => index))) {
      const run = await bench.create(t);
      const { record } = run;
      const launcher = startGated(t, 'idle');
      const groups = bench.backend.plan(record.cookie).directories;
      for (const index of which) putInto(groups[index] ?? '', launcher);
      run.close();
      const entry = entryOf(record.cookie, { step: 'contained', containment: record });
      const next = await succeed(t, bench, [entry], [launcher.identity.pid]);
      t.match(next.accounts, [{ ...ACCOUNT, interrupted: [`tool/${record.cookie}`] }]);
      t.same(present(groups), groups, 'it is in them');
      // Its launcher is answered: it is in a run of the next daemon from then on.
      const again = await bench.create(t);
      await again.attach(launcher.identity);
      await next.afterwards();
      t.same(present(groups), [], `was in: ${which.join()}`);
      t.match(next.accounts[1], { ...ACCOUNT, cleaned: [`tool/${record.cookie}`] });
      t.same(next.onRecord, []);
      t.ok(isAlive(launcher.identity));
      launcher.child.kill('SIGKILL');
    }
  });

  t.test(
    `${bench.id}: a daemon that had its groups elsewhere, as one has that was started in another group`,
    async (t) => {
      const runId = newRunId();
      const elsewhere = bench.backend
        .plan(runId)
        .directories.map((path) => join(topBeside(dirname(path), bench, `test-elsewhere-${process.pid}`), runId));
      for (const path of elsewhere) mkdirSync(path, { recursive: true });
      const plan = { backend: bench.id, directories: elsewhere };
      const foreign = temporaryDirectory(t);
      mkdirSync(join(foreign, runId));
      const forged = { ...plan, directories: [...elsewhere, join(foreign, runId), foreign] };
      const backend = await bench.reopen();
      await backend.discard(runId, forged.directories);
      t.same(present(elsewhere), []);
      t.ok(existsSync(join(foreign, runId)), 'what is no group is not touched');
      await backend.close();
      t.same(present(elsewhere.map(dirname)), [], 'what was around them goes with this daemon');
    },
  );

  t.test(`${bench.id}: a trial of a backend that was cut short`, async (t) => {
    t.match(await tryRun(bench.backend, temporaryDirectory(t)), { ok: true });
    const [left, kept, inUse] = [newRunId(), newRunId(), newRunId()].map(
      (runId) => bench.backend.plan(runId).directories,
    );
    if (left === undefined || kept === undefined || inUse === undefined) throw new Error('unreachable');
    for (const path of [...left.slice(0, -1), ...kept, ...inUse]) mkdirSync(path, { recursive: true });
    t.teardown(() => kept.forEach((path) => rmdirSync(path)));
    const tool = startGated(t, 'idle');
    for (const path of inUse) {
      putInto(path, tool);
      mkdirSync(join(path, 'made-by-the-tool'));
    }
    const nobody = { isOnRecord: (runId: string) => kept.some((path) => basename(path) === runId), isDead: never };
    const removed = await bench.backend.sweep(nobody);
    t.same(removed.toSorted(), left.slice(0, -1).toSorted());
    t.same(present(left), []);
    t.same(present(kept), kept, 'a run that is on record may be about to begin');
    t.same(present(inUse.map((path) => join(path, 'made-by-the-tool'))).length, inUse.length, 'who is in use stays');
    t.ok(isAlive(tool.identity));
    tool.child.kill('SIGKILL');
    await tool.ended;
    await waitFor('its groups to be swept', async () => {
      await bench.backend.sweep(nobody);
      return present(inUse).length === 0;
    });
  });

  t.test(
    `${bench.id}: groups of other daemons: only of one that is proven dead, and only when nobody is in them`,
    async (t) => {
      const own = bench.backend.plan(newRunId()).directories.map(dirname);
      const alive = await acquireInstanceLock(temporaryDirectory(t), SELF, procfsFacts);
      t.teardown(() => alive.release());
      const dead = await acquireInstanceLock(temporaryDirectory(t), SELF, procfsFacts);
      const inUse = await acquireInstanceLock(temporaryDirectory(t), SELF, procfsFacts);
      const names = {
        alive: alive.instance,
        dead: dead.instance,
        inUse: inUse.instance,
        foreign: `${'0'.repeat(16)}-1`,
        other: `test-other-${process.pid}`,
      };
      const topsOf = (name: string): readonly string[] => own.map((top) => topBeside(top, bench, name));
      for (const name of Object.values(names))
        for (const top of topsOf(name)) mkdirSync(join(top, 'aaaaaaaaaa'), { recursive: true });
      t.teardown(() => {
        for (const name of Object.values(names)) for (const top of topsOf(name)) removeBoth(top);
      });
      const tool = startGated(t, 'idle');
      for (const top of topsOf(names.inUse)) putInto(join(top, 'aaaaaaaaaa'), tool);
      const sweep = (): Promise<readonly string[]> =>
        bench.backend.sweep({
          isOnRecord: () => true,
          isDead: async (instance) => (await stateOfInstance(instance)) === 'dead',
        });
      const groupsOf = (name: string): readonly string[] =>
        topsOf(name).flatMap((top) => present([join(top, 'aaaaaaaaaa'), top]));
      await sweep();
      t.equal(groupsOf(names.dead).length, 2 * own.length, 'its daemon lives');

      dead.release();
      inUse.release();
      await waitFor(
        'both to be dead',
        async () => (await stateOfInstance(names.dead)) === 'dead' && (await stateOfInstance(names.inUse)) === 'dead',
      );
      const listed = async (): Promise<readonly string[]> =>
        (await leftTops(own.map(dirname))).map(({ instance }) => instance);
      t.ok([names.dead, names.alive, names.foreign, names.other].every((name) => groupsOf(name).length > 0));
      const before = await listed();
      for (const name of [names.dead, names.foreign, names.other]) t.ok(before.includes(name), `${name} is listed`);
      t.notOk(before.includes(names.inUse));
      await sweep();
      t.same(groupsOf(names.dead), []);
      for (const name of [names.alive, names.inUse, names.foreign, names.other])
        t.equal(groupsOf(name).length, 2 * own.length, `${name} stays`);
      t.ok(isAlive(tool.identity));
      t.notOk((await listed()).includes(names.dead));

      tool.child.kill('SIGKILL');
      await tool.ended;
      await waitFor('the last to be swept', async () => {
        await sweep();
        return groupsOf(names.inUse).length === 0;
      });
    },
  );

  t.test(`${bench.id}: governor doctor lists what is left, and the command that it names removes it`, async (t) => {
    const name = `test doctor's ${process.pid}`;
    const tops = bench.backend.plan(newRunId()).directories.map((path) => topBeside(dirname(path), bench, name));
    for (const top of tops) mkdirSync(join(top, 'aaaaaaaaaa'), { recursive: true });
    t.teardown(() => tops.forEach(removeBoth));
    const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: temporaryDirectory(t) };
    const doctor = await runCommand(LAUNCHER, ['doctor'], { env });
    t.equal(doctor.code, 0, doctor.stderr);
    t.match(doctor.stdout, /^warn +groups +.*if none of them runs: /m);
    // On a host with many of them only the document names all.
    const document = await runCommand(LAUNCHER, ['doctor', '--json'], { env });
    const command: string = JSON.parse(document.stdout).leftovers.groups.unknown.remove;
    for (const top of tops) t.ok(command.includes(quoted(top)), top);
    // Others of these may be somebody else's.
    const ours = command.replace(/^find .* -depth/, `find ${tops.map(quoted).join(' ')} -depth`);
    t.match(await runCommand('sh', ['-c', ours]), { code: 0, stdout: '', stderr: '' });
    t.same(present(tops), []);
    const again = (await runCommand(LAUNCHER, ['doctor', '--json'], { env })).stdout;
    for (const top of tops) t.notOk(again.includes(JSON.stringify(top)));
  });
}

/** The top directory that a daemon of this name has beside that of the bench. */
function topBeside(top: string, bench: Bench, instance: string): string {
  const own = `test-${bench.id}-${process.pid}`;
  return join(dirname(top), basename(top).replace(own, instance));
}

function removeBoth(top: string): void {
  for (const path of present([join(top, 'aaaaaaaaaa'), top])) rmdirSync(path);
}
