import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { errnoName, native } from '../../../lib/os/native.ts';
import { limitHardNofile, SoftNofileBrake } from '../../../lib/os/procfs/nofile.ts';
import { protectedPids, signalProcess } from '../../../lib/os/procfs/signal.ts';
import { readIdentity } from '../../../lib/os/procfs/stat.ts';
import type { ProcessIdentity } from '../../../lib/core/identity.ts';
import type { ResolvedLimit } from '../../../lib/core/limits.ts';
import { startFixture } from '../../helpers/fixture.ts';
import { lacks } from '../../helpers/skip.ts';

const calls = native();
const skip = lacks('linux') || (calls.available ? false : calls.reason);

function nofileOf(pid: number): readonly string[] {
  return /^Max open files\s+(\S+)\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))?.slice(1) ?? [];
}

function identityOf(pid: number | undefined): ProcessIdentity {
  const identity = readIdentity(pid ?? 0);
  if (identity === null) throw new Error('the process has ended');
  return identity;
}

function limit(value: number): ResolvedLimit {
  const thresholds = { warning: 0.75, throttled: 0.9, cleanup: 1, emergency: 1.5 };
  const actions = { warning: [], throttled: [], cleanup: [], emergency: [] };
  return { resource: 'file_handles', limit: value, thresholds, actions, source: { from: 'flag', detail: 'test' } };
}

t.test('says what is missing where it is not there', async (t) => {
  if (calls.available) t.pass('koffi is there');
  else t.match(calls.reason, /polled/);
  t.equal(errnoName(-3), 'ESRCH');
  t.equal(errnoName(99_999), 'errno 99999');
});

t.test('prlimit', { skip }, async (t) => {
  if (!calls.available) return;
  const child = spawn('sleep', ['60']);
  const pid = child.pid ?? 0;
  t.teardown(() => child.kill('SIGKILL'));
  const before = calls.getNofile(pid);
  t.same([before?.soft, before?.hard].map(String), nofileOf(pid));
  t.equal(calls.setNofile(pid, { soft: 50, hard: 60 }), 0);
  t.same(nofileOf(pid), ['50', '60']);
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.equal(calls.getNofile(pid), null);
  t.equal(errnoName(calls.setNofile(pid, { soft: 1, hard: 1 })), 'ESRCH');
});

t.test('pages that are not ours to give back', { skip }, async (t) => {
  if (!calls.available) return;
  t.equal(errnoName(calls.forgetPages(4097n, 4096)), 'EINVAL', 'not the start of a page');
  t.equal(errnoName(calls.forgetPages(4096n, 4096)), 'ENOMEM', 'nothing is mapped there');
});

t.test('pidfd', { skip }, async (t) => {
  if (!calls.available) return;
  const child = spawn('sleep', ['60']);
  const pidfd = calls.openPidfd(child.pid ?? 0);
  t.ok(pidfd > 2);
  const duplicate = calls.duplicateFrom(pidfd, 0);
  t.equal(fstatSync(duplicate).ino, statSync(`/proc/${child.pid}/fd/0`).ino);
  t.equal(errnoName(calls.duplicateFrom(pidfd, 999)), 'EBADF');
  t.equal(calls.signalPidfd(pidfd, constants.signals.SIGKILL), 0);
  t.same(await once(child, 'exit'), [null, 'SIGKILL']);
  t.equal(errnoName(calls.signalPidfd(pidfd, constants.signals.SIGKILL)), 'ESRCH');
  t.equal(errnoName(calls.openPidfd(child.pid ?? 0)), 'ESRCH');
  closeSync(duplicate);
  closeSync(pidfd);
});

t.test('a hard limit for each process', { skip }, async (t) => {
  const child = spawn('sleep', ['60']);
  t.teardown(() => child.kill('SIGKILL'));
  const identity = identityOf(child.pid);
  t.match(limitHardNofile([identity], limit(100)), { enforcement: 'polled', note: /held to 150/ });
  t.same(nofileOf(identity.pid), ['150', '150']);
  t.match(limitHardNofile([{ ...identity, startTicks: 1 }], limit(10)), { enforcement: 'polled' });
  t.same(nofileOf(identity.pid), ['150', '150'], 'a process with its pid is not touched');
  t.match(limitHardNofile([identity], limit(1)), { enforcement: 'polled', note: /held to 32/ });
  t.same(nofileOf(identity.pid), ['32', '32'], 'never so few that a shell could not start');
  t.match(limitHardNofile([identity], null), { enforcement: 'none' });
});

t.test('the soft brake leaves a little, and is lifted', { skip }, async (t) => {
  const fixture = startFixture(t, 'open-files', { args: ['--count=200', '--every-ms=20'] });
  await fixture.said('ready');
  const before = nofileOf(fixture.pid);
  const brake = new SoftNofileBrake(() => [fixture.identity]);
  t.equal(brake.supported, true);
  brake.set();
  const held = nofileOf(fixture.pid);
  t.ok(Number(held[0]) < 400, `soft limit ${held[0]}`);
  t.equal(held[1], before[1], 'the hard one stays');
  brake.set();
  t.same(nofileOf(fixture.pid), held, 'setting it again gives nothing more');
  brake.lift();
  t.same(nofileOf(fixture.pid), before);
  brake.lift();
  t.same(nofileOf(fixture.pid), before);
});

t.test('a child that was forked under the brake is freed too', { skip }, async (t) => {
  const shell = spawn('sh', ['-c', 'read go; sleep 60 & echo $!; wait'], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => shell.kill('SIGKILL'));
  const members = [identityOf(shell.pid)];
  const before = nofileOf(shell.pid ?? 0);
  const brake = new SoftNofileBrake(() => members);
  brake.set();
  shell.stdin.write('go\n');
  const [line] = (await once(shell.stdout, 'data')) as [Buffer];
  const child = identityOf(Number(line.toString()));
  t.teardown(() => signalProcess(child, 'SIGKILL'));
  t.not(nofileOf(child.pid)[0], before[0]);
  members.push(child);
  brake.lift();
  t.same(nofileOf(child.pid), before);
});

t.test('signals hit the very process', { skip: lacks('linux') }, async (t) => {
  const child = spawn('sleep', ['60']);
  const identity = identityOf(child.pid);
  t.equal(signalProcess({ ...identity, startTicks: identity.startTicks + 1 }, 'SIGKILL'), 'gone');
  t.ok(readIdentity(identity.pid), 'the one with its pid lives');
  t.equal(signalProcess(identity, 'SIGKILL'), 'sent');
  await once(child, 'exit');
  t.equal(signalProcess(identity, 'SIGKILL'), 'gone');
});

t.test('never ourselves, an ancestor or pid 1', { skip: lacks('linux') }, async (t) => {
  t.ok(protectedPids().has(process.pid) && protectedPids().has(process.ppid) && protectedPids().has(1));
  for (const pid of protectedPids())
    t.throws(() => signalProcess({ pid, startTicks: 0 }, 'SIGTERM'), /refused/, String(pid));
});
