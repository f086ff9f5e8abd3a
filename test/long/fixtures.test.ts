/** The misbehaving programs do what they are for, and none outlives its life. */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fixtureCommand, lacksFixture, newMarker, startFixture, startProgram } from '../helpers/fixture.ts';
import { children, descriptors, environment, residentBytes, session, state } from '../helpers/proc-look.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { lacks } from '../helpers/skip.ts';
import { formatSurvivor, isAlive, killIdentity, survivors, survivorsAfter } from '../helpers/survivors.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { waitFor } from '../helpers/wait-for.ts';

const linux = lacks('linux');

t.test('memory', { skip: linux }, async (t) => {
  const leak = startFixture(t, 'leak-memory', { args: ['--rate-mb=400', '--cap-mb=100'] });
  t.same(await leak.said('full'), { bytes: 100 * 2 ** 20 });
  t.ok(residentBytes(leak.pid) > 100 * 2 ** 20, 'holds what it leaked');
});

t.test('fast allocator', { skip: linux || lacksFixture('fast-allocator') }, async (t) => {
  const allocator = startFixture(t, 'fast-allocator', { args: ['--cap-mb=200'] });
  await allocator.said('full');
  t.ok(residentBytes(allocator.pid) >= 200 * 2 ** 20);
});

t.test('file handles and sockets', { skip: linux }, async (t) => {
  const files = startFixture(t, 'open-files', { args: ['--count=300'] });
  t.equal((await files.said('ready'))['opened'], 300);
  t.ok(descriptors(files.pid).filter((target) => target === '/dev/null').length >= 300);

  for (const [kind, expected] of [
    ['tcp', 21],
    ['unix', 21],
    ['udp', 10],
  ] as const) {
    const sockets = startFixture(t, 'open-sockets', { args: ['--count=10', `--kind=${kind}`] });
    t.equal((await sockets.said('ready'))['sockets'], expected, kind);
    t.ok(descriptors(sockets.pid).filter((target) => target.startsWith('socket:')).length >= expected);
  }
  // Node raises the soft limit to the hard one; both are lowered.
  const leak = startProgram(t, ['sh', '-c', 'ulimit -n 200; exec "$@"', 'sh', ...fixtureCommand('fd-leak-to-emfile')]);
  const { opened } = await leak.said('emfile');
  t.ok(Number(opened) > 100 && Number(opened) < 200, `refused after ${String(opened)}`);
  t.ok(isAlive(leak.identity), 'lives on without descriptors');
});

t.test('CLOSE_WAIT', { skip: linux }, async (t) => {
  const leak = startFixture(t, 'leak-close-wait', { args: ['--count=7'] });
  await leak.said('ready');
  const inodes = new Set(descriptors(leak.pid).flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
  const CLOSE_WAIT = '08';
  const table = readFileSync(`/proc/${leak.pid}/net/tcp`, 'utf8').trim().split('\n').slice(1);
  const waiting = table
    .map((line) => line.trim().split(/\s+/))
    .filter((f) => f[3] === CLOSE_WAIT && inodes.has(f[9] ?? ''));
  t.equal(waiting.length, 7);
});

t.test('temporary storage', { skip: linux }, async (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['many', 'unlinked', 'traps', 'target']) mkdirSync(join(directory, name));
  writeFileSync(join(directory, 'target/precious.txt'), 'precious');
  const many = startFixture(t, 'fill-temp-many', { args: ['--files=250'], env: { TMPDIR: join(directory, 'many') } });
  t.equal((await many.said('ready'))['files'], 250);
  t.equal(readdirSync(join(directory, 'many/many')).length, 3, 'in directories of a hundred');

  const unlinked = startFixture(t, 'fill-temp-unlinked-open', {
    args: ['--mb=8'],
    env: { TMPDIR: join(directory, 'unlinked') },
  });
  t.equal((await unlinked.said('ready'))['bytes'], 8 * 2 ** 20);
  t.same(readdirSync(join(directory, 'unlinked')), [], 'nothing to see');
  t.equal(descriptors(unlinked.pid).filter((target) => target.endsWith('(deleted)')).length, 4);

  const traps = startFixture(t, 'temp-symlinks-out', {
    args: [`--target=${join(directory, 'target')}`],
    env: { TMPDIR: join(directory, 'traps') },
  });
  await traps.said('ready');
  t.ok(readdirSync(join(directory, 'traps')).length >= 14);
  t.equal(readFileSync(join(directory, 'traps/link-to-file'), 'utf8'), 'precious');
});

t.test('what resists a stop', { skip: linux }, async (t) => {
  const stubborn = startFixture(t, 'ignore-term');
  await stubborn.said('ready');
  killIdentity(stubborn.identity, 'SIGTERM');
  t.same(await stubborn.said('ignored'), { signal: 'SIGTERM' });

  const forking = startFixture(t, 'term-handler-forks', { args: ['--children=3'] });
  await forking.said('ready');
  killIdentity(forking.identity, 'SIGTERM');
  t.equal(((await forking.said('forked'))['pids'] as unknown[]).length, 3);
  t.equal(survivors(forking.marker).length, 4);

  const stopped = startFixture(t, 'stopped');
  await stopped.said('ready');
  await waitFor('state T', () => state(stopped.pid) === 'T');

  const polite = startFixture(t, 'handles-signals');
  await polite.said('ready');
  killIdentity(polite.identity, 'SIGTERM');
  t.same(await polite.ended, { code: 3, signal: null });
});

t.test('zombies', { skip: linux || lacksFixture('zombie-leader') }, async (t) => {
  const leader = startFixture(t, 'zombie-leader');
  await leader.said('ready');
  t.equal(state(leader.pid), 'Z');
  t.equal(survivors(leader.marker).length, 1, 'the oracle sees the living thread');

  const parent = startFixture(t, 'unreaped-zombies', { args: ['--count=5'] });
  await parent.said('ready');
  await waitFor('five zombies', () => children(parent.pid).filter((pid) => state(pid) === 'Z').length === 5);
});

t.test(
  'what leaves its parent, its group and its session',
  { skip: linux || lacks('setsid') || lacksFixture('hop-fork') },
  async (t) => {
    const escaped = startFixture(t, 'escape-setsid-double-fork');
    const pids = (await escaped.said('ready'))['pids'] as number[];
    await waitFor('two escaped processes', () => pids.every((pid) => session(pid) === pid));

    const daemon = startFixture(t, 'env-i-daemon', { args: [process.execPath] });
    const [daemonPid = 0] = (await daemon.said('ready'))['pids'] as number[];
    await waitFor(
      'an empty environment',
      () => environment(daemonPid).length === 1 && session(daemonPid) === daemonPid,
    );
    t.ok(
      survivors(daemon.marker).some(({ pid }) => pid === daemonPid),
      'the oracle finds it by its argument',
    );

    for (const args of [[], ['--setsid']]) {
      const hopping = startFixture(t, 'hop-fork', { args });
      await hopping.said('ready');
      const hopper = (): number | undefined => survivors(hopping.marker).find(({ pid }) => pid !== hopping.pid)?.pid;
      const first = await waitFor('a hopper', hopper);
      await waitFor('another pid', () => ![undefined, first].includes(hopper()));
    }
  },
);

t.test('a fork bomb has an end', { skip: linux || lacksFixture('fork-bomb') }, async (t) => {
  const bomb = startFixture(t, 'fork-bomb', { args: ['--max=40'], lifeMs: 3000 });
  await bomb.said('ready');
  await waitFor('forty processes', () => survivors(bomb.marker).length === 40);
  t.same((await survivorsAfter(bomb.marker, 15_000)).map(formatSurvivor), []);
});

t.test('a tree behind wrappers', { skip: linux || lacks('setsid') }, async (t) => {
  for (const [mode, rest] of [
    ['polite', ['group', 'setsid', 'daemon', 'child']],
    ['stubborn', null],
  ] as const) {
    const tree = startFixture(t, 'leaky-tree', {
      args: [process.execPath, ...(mode === 'stubborn' ? ['--stubborn'] : [])],
    });
    const started = await tree.said('ready');
    for (const name of ['setsid', 'daemon'])
      await waitFor(`a session of ${name}`, () => session(Number(started[name])) === started[name]);
    t.not(session(Number(started['child'])), started['child']);
    tree.child.stdin?.end();
    if (rest === null) {
      t.same(await tree.said('ignored'), { signal: 'EOF' }, 'stubborn');
      continue;
    }
    t.same(await tree.ended, { code: 0, signal: null }, 'a polite server ends with stdin');
    t.ok(survivors(tree.marker).length >= rest.length, 'and leaves its descendants behind');
  }
});

t.test('benign loads', { skip: linux || lacksFixture('shared-forks') }, async (t) => {
  const forks = startFixture(t, 'shared-forks', { args: ['--mb=40', '--forks=5'] });
  await forks.said('ready');
  t.equal(survivors(forks.marker).length, 6);
  const saw = startFixture(t, 'gc-sawtooth', { args: ['--period-ms=200', '--peak-mb=40'] });
  await saw.said('collected');
  const burst = startFixture(t, 'startup-burst', { args: ['--burst-ms=200'] });
  await burst.said('quiet');
  const reader = startFixture(t, 'page-cache-reader', { args: ['--mb=20'], env: { TMPDIR: t.testdir() } });
  t.equal((await reader.said('ready'))['bytes'], 20 * 2 ** 20);
});

t.test('output and endings', { skip: linux }, async (t) => {
  t.same(await startFixture(t, 'exit-fast', { args: ['9'] }).ended, { code: 9, signal: null });
  const loud = startFixture(t, 'stderr-100mb', { args: ['--mb=10'] });
  t.equal((await loud.said('done'))['bytes'], 10 * 2 ** 20);
  t.same(await loud.ended, { code: 0, signal: null });
});

t.test('the state of a start is reported whole', { skip: linux || lacksFixture('report-start') }, async (t) => {
  const cwd = t.testdir();
  mkdirSync(join(cwd, 'deep'));
  const report = startFixture(t, 'report-start', { args: ['a b', '"', 'ü', '--exit=5'], cwd: join(cwd, 'deep') });
  t.same(await report.ended, { code: 5, signal: null });
  await waitFor('one line', () => report.lines().length === 1);
  const found = JSON.parse(report.lines()[0] ?? '') as Record<string, unknown> & {
    argv: string[];
    env: string[];
    fds: object;
  };
  t.same(
    found.argv.slice(1).map((word) => Buffer.from(word, 'latin1').toString()),
    ['a b', '"', 'ü', '--exit=5'],
  );
  t.ok(found.env.includes(`GOVERNOR_TEST_MARKER=${report.marker}`));
  t.same(Object.keys(found.fds).slice(0, 3), ['0', '1', '2']);
  t.match(found, { cwd: join(cwd, 'deep'), pid: report.pid, ppid: process.pid, umask: process.umask() });
});

t.test(
  'every program ends by itself',
  { skip: linux || lacksFixture('hop-fork', 'fork-bomb', 'zombie-leader', 'shared-forks', 'fast-allocator') },
  async (t) => {
    const marker = newMarker();
    const temporary = temporaryDirectory(t);
    const names = readdirSync(join(projectRoot, 'test/fixtures/tools')).filter((name) => /\.(mjs|sh|c)$/.test(name));
    for (const name of names) {
      startFixture(t, name.replace(/\.\w+$/, ''), {
        marker,
        lifeMs: 2000,
        env: { TMPDIR: temporary },
        args: small(name),
      });
    }
    t.same((await survivorsAfter(marker, 40_000)).map(formatSurvivor), []);
  },
);

/** Arguments that keep the load of all programs at once within reason. */
function small(name: string): readonly string[] {
  const args: Readonly<Record<string, readonly string[]>> = {
    'fast-allocator.c': ['--cap-mb=64'],
    'shared-forks.c': ['--mb=20'],
    'fork-bomb.c': ['--max=50'],
    'page-cache-reader.mjs': ['--mb=10'],
    'fd-leak-to-emfile.mjs': ['--per-second=100'],
    'startup-burst.mjs': ['--burst-ms=500'],
    'env-i-daemon.sh': [process.execPath],
    'leaky-tree.sh': [process.execPath, '--stubborn'],
    'leaky-server.mjs': ['--stubborn'],
  };
  return args[name] ?? [];
}
