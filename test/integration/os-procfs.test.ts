import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PAGE_BYTES } from '../../lib/os/procfs/memory-total.ts';
import { ProcfsBackend } from '../../lib/os/procfs/backend.ts';
import { TreeReader } from '../../lib/os/procfs/tree-reader.ts';
import { NO_LIMITS } from '../../lib/core/limits.ts';
import { PortableBackend } from '../../lib/os/portable/backend.ts';
import { limitsOf } from '../helpers/cgroup-backends.ts';
import { lacksFixture, startFixture } from '../helpers/fixture.ts';
import { children, descriptors, residentBytes } from '../helpers/proc-look.ts';
import { createRun, emptied, measuredOf, startContained, valueOf } from '../helpers/scanned-backends.ts';
import { lacks } from '../helpers/skip.ts';
import { isAlive, survivors, survivorsAfter } from '../helpers/survivors.ts';
import { waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
const skip = lacks('linux');
const backend = new ProcfsBackend();
t.teardown(() => backend.close());

t.test('known loads on every resource', { skip }, async (t) => {
  const run = await createRun(t, backend);
  t.match(run.usage.sample(performance.now(), true), { populated: false });
  const loads = [
    await startContained(t, run, 'open-files', { args: ['--count=30'] }),
    await startContained(t, run, 'open-sockets', { args: ['--count=6', '--kind=tcp'] }),
    await startContained(t, run, 'fill-temp-unlinked-open', { args: ['--mb=8'] }),
    await startContained(t, run, 'spin-cpu', { args: ['--percent=30'] }),
  ];
  for (const load of loads) await load.said('ready');
  writeFileSync(join(run.tempDir, 'plain'), Buffer.alloc(4 * MIB, 1));
  const pids = loads.map((load) => load.pid);
  t.same(
    run.membership
      .members()
      .map((member) => member.pid)
      .toSorted(),
    pids.toSorted(),
  );
  await waitFor('some CPU time', () => valueOf(run.usage.sample(performance.now(), true).cpuTimeMs) >= 300);
  const sample = run.usage.sample(performance.now(), true);
  const links = pids.flatMap(descriptors);
  t.equal(sample.populated, true);
  t.equal(valueOf(sample.fileHandles), links.length);
  t.equal(valueOf(sample.sockets), new Set(links.filter((link) => link.startsWith('socket:'))).size);
  const temp = measuredOf(sample.tempStorage);
  t.match(temp, { inodes: 5, quality: 'exact' });
  t.ok(temp.value >= 12 * MIB && temp.value < 13 * MIB, `${temp.value} bytes`);
  const resident = pids.reduce((sum, pid) => sum + residentBytes(pid), 0);
  t.ok(Math.abs(valueOf(sample.memory) - resident) < resident * 0.05, `${valueOf(sample.memory)} of ${resident} bytes`);
  t.ok(valueOf(sample.tasks) >= 4 * 5, `${valueOf(sample.tasks)} threads of four Node processes`);
  t.match(sample, { oomKills: 0, memoryStallMs: null });
  await run.killer.kill();
  await emptied(run);
  t.match(run.usage.sample(performance.now(), true), {
    populated: false,
    fileHandles: { value: 0 },
    sockets: { value: 0 },
  });
});

t.test('views for people', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'open-sockets', { args: ['--count=3', '--kind=tcp'] });
  await load.said('ready');
  t.match(run.inspect.processes(), [
    {
      pid: load.pid,
      ppid: process.pid,
      name: /node|MainThread/,
      memory: { quality: 'rss-sum' },
      sockets: { kind: 'measured' },
    },
  ]);
  const sockets = run.inspect.sockets().filter((socket) => socket.kind === 'tcp');
  t.equal(sockets.length, 7);
  t.equal(sockets.filter((socket) => socket.state === 'LISTEN').length, 1);
  t.equal(
    sockets.filter((socket) => socket.state === 'ESTABLISHED' && socket.remote?.startsWith('127.0.0.1:')).length,
    6,
  );
  const reading = await createRun(t, backend);
  const path = join(reading.tempDir, 'gone\nfile');
  const code = `const fs = require('fs'); fs.openSync(process.argv[1], 'w'); globalThis.kept = fs.opendirSync('/usr'); console.log('ready'); setTimeout(() => {}, 60000)`;
  const opener = await startContained(t, reading, '', { command: [process.execPath, '-e', code, path] });
  await opener.said('ready');
  unlinkSync(path);
  const files = reading.inspect.files();
  t.match(
    files.find((file) => file.deleted),
    { kind: 'file', target: path.replace('\n', '?') },
  );
  t.match(
    files.find((file) => file.target === '/usr'),
    { kind: 'directory', deleted: false },
  );
  t.ok(
    files.some((file) => file.kind === 'socket') &&
      files.some((file) => file.kind === 'device') &&
      files.some((file) => file.kind === 'anon'),
  );
});

t.test(
  'what a process whose leader ended still holds is seen',
  { skip: skip || lacksFixture('zombie-leader') },
  async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, 'zombie-leader', { args: ['--mb=40'] });
    await load.said('ready');
    const thread = readdirSync(`/proc/${load.pid}/task`).find((id) => id !== String(load.pid));
    const ofThread = `/proc/${load.pid}/task/${thread}`;
    const resident = Number(readFileSync(`${ofThread}/stat`, 'latin1').split(') ')[1]?.split(' ')[21]) * PAGE_BYTES;
    t.equal(readFileSync(`/proc/${load.pid}/statm`, 'latin1').split(' ')[1], '0', 'its own directory shows nothing');
    run.usage.sample(performance.now());
    const sample = run.usage.sample(performance.now(), true);
    t.match(sample, { populated: true, fileHandles: { value: readdirSync(`${ofThread}/fd`).length } });
    t.ok(resident > 0);
    t.equal(valueOf(sample.memory), resident);
    await run.killer.kill();
    await emptied(run);
    t.same(await survivorsAfter(load.marker, 2000), []);
  },
);

t.test('shared pages are no violation near the limit', { skip: skip || lacksFixture('shared-forks') }, async (t) => {
  const limit = 200 * MIB;
  const run = await createRun(t, backend, limitsOf({ memory: limit }));
  const load = await startContained(t, run, 'shared-forks', { args: ['--forks=8', '--mb=60'] });
  await load.said('ready');
  const memory = measuredOf(
    await waitFor(
      'PSS',
      () =>
        measuredOf(run.usage.sample(performance.now(), true).memory).quality === 'pss' &&
        run.usage.sample(performance.now()).memory,
    ),
  );
  t.ok(memory.value > 55 * MIB && memory.value < 90 * MIB, `${memory.value} bytes, ${memory.quality}`);
});

t.test(
  'a member that cannot be read makes the sum unsupported, not small',
  { skip: skip || lacks('root') },
  async (t) => {
    const load = startFixture(t, 'idle');
    await load.said('ready');
    const script =
      `import { TreeReader } from ${JSON.stringify(new URL('../../lib/os/procfs/tree-reader.js', import.meta.url).href)};` +
      `const reader = new TreeReader({ tempDir: null, parts: { memory: true, cpu: true, tasks: true } }); reader.setMemoryLimit(1);` +
      `console.log(JSON.stringify(reader.sample([process.pid, ${load.pid}], 0, true)));`;
    const reader = spawn(process.execPath, ['--input-type=module', '-e', script], {
      uid: 65534,
      gid: 65534,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output: string[] = [];
    reader.stdout.on('data', (chunk) => output.push(String(chunk)));
    await once(reader, 'close');
    if (output.length === 0) return t.comment('skipped: that user cannot read the build directory');
    t.match(JSON.parse(output.join('')), {
      fileHandles: { kind: 'unsupported', reason: new RegExp(`process ${load.pid} `) },
      sockets: { kind: 'unsupported' },
      memory: { kind: 'measured', quality: 'rss-sum' },
      tasks: { kind: 'measured' },
    });
  },
);

t.test('handles of the reader go with the processes', { skip }, async (t) => {
  const reader = new TreeReader({ tempDir: null, parts: { memory: true, cpu: true, tasks: true } });
  const before = descriptors(process.pid).length;
  for (let round = 0; round < 30; round += 1) {
    const child = spawn('sleep', ['60']);
    reader.sample([child.pid ?? 0], round, true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    t.match(reader.sample([child.pid ?? 0], round, true), { alive: 0 });
  }
  t.ok(descriptors(process.pid).length <= before + 1);
  reader.close();
});

t.test('CPU time of children that ended is kept', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const burn = 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done';
  const load = await startContained(t, run, '', {
    command: ['sh', '-c', `echo ready; sh -c '${burn}'; (${burn}) & wait; echo done; sleep 60`],
  });
  await load.said('ready');
  let last = 0;
  await waitFor('both to end', () => {
    const value = valueOf(run.usage.sample(performance.now(), true).cpuTimeMs);
    if (value < last) throw new Error(`fell from ${last} to ${value}`);
    last = value;
    return load.lines().includes('done');
  });
  const total = valueOf(run.usage.sample(performance.now(), true).cpuTimeMs);
  t.ok(total >= last && total > 100, `${total} ms`);
});

t.test('who leaves the tree is still found by cookie', { skip: skip || lacks('setsid') }, async (t) => {
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'escape-setsid-double-fork');
  const { pids } = (await load.said('ready')) as { readonly pids: readonly number[] };
  const members = run.membership.members().map((member) => member.pid);
  for (const pid of pids) t.ok(members.includes(pid), `process ${pid}`);
  await run.killer.kill();
  await emptied(run);
  t.same(await survivorsAfter(load.marker, 2000), []);
  t.equal(run.membership.exact, false, 'and yet it is no proof');
});

t.test(
  'a daemon without environment is found when it was seen before it left',
  { skip: skip || lacks('setsid') },
  async (t) => {
    const run = await createRun(t, backend);
    const script = 'env -i setsid sh -c "echo child; sleep 1; sleep 60" & echo ready; sleep 60';
    const load = await startContained(t, run, '', { command: ['sh', '-c', script] });
    await load.said('child');
    await waitFor('two shells, and a sleep of each', () => run.membership.members().length === 4);
    await run.killer.kill();
    await emptied(run);
    t.same(await survivorsAfter(load.marker, 2000), []);
  },
);

for (const [name, args] of [
  ['hop-fork', ['--every-us=3000']],
  ['hop-fork', ['--every-us=3000', '--setsid']],
  ['fork-bomb', ['--max=150']],
] as const) {
  t.test(`killed: ${name} ${args.join(' ')}`, { skip: skip || lacksFixture(name) }, async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, name, { args });
    await load.said('ready');
    for (let round = 0; round < 20 && survivors(load.marker).length > 0; round += 1) {
      await run.killer.kill();
      await survivorsAfter(load.marker, 100);
    }
    t.same(survivors(load.marker), []);
  });
}

for (const name of ['ignore-term', 'term-handler-forks', 'stopped', 'unreaped-zombies'] as const) {
  t.test(`polite, then killed: ${name}`, { skip }, async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, name);
    await load.said('ready');
    t.ok((await run.killer.signal('SIGTERM')) >= 1);
    if (name === 'term-handler-forks') await load.said('forked');
    await run.killer.kill();
    await emptied(run);
    t.same(await survivorsAfter(load.marker, 2000), []);
    await t.resolves(run.remove(1000));
    await t.resolves(run.killer.kill(), 'an empty tree may be killed');
  });
}

t.test('a run with members is not removed', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'idle');
  await load.said('ready');
  await t.rejects(run.remove(100), new RegExp(`1 processes: ${load.pid}`));
});

t.test('only the run’s own processes are ended', { skip }, async (t) => {
  const bystander = startFixture(t, 'idle');
  const other = await createRun(t, backend);
  const neighbour = await startContained(t, other, 'idle');
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'idle');
  for (const each of [bystander, neighbour, load]) await each.said('ready');
  await run.killer.kill();
  await emptied(run);
  t.ok(isAlive(bystander.identity) && isAlive(neighbour.identity));
  t.notOk(isAlive(load.identity));
});

t.test('a run of an earlier daemon is found again', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'escape-setsid-double-fork');
  await load.said('ready');
  const record = JSON.parse(JSON.stringify(run.record)) as typeof run.record;
  const next = new ProcfsBackend();
  t.teardown(() => next.close());
  const adopted = await next.adopt(record, NO_LIMITS, run.tempDir);
  t.same(
    adopted?.membership
      .members()
      .map((member) => member.pid)
      .toSorted(),
    run.membership
      .members()
      .map((member) => member.pid)
      .toSorted(),
  );
  await adopted?.killer.kill();
  t.same(await survivorsAfter(load.marker, 2000), []);
  t.equal(await next.adopt(record, NO_LIMITS, run.tempDir), null, 'nothing is left of it');
  t.equal(await next.adopt({ ...record, backend: 'cgroup1' }, NO_LIMITS, run.tempDir), null);
});

t.test('brakes', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'spin-cpu', { args: ['--percent=5'] });
  await load.said('ready');
  const nices = (): readonly number[] => [...new Set(run.inspect.processes().map(({ pid }) => getPriority(pid)))];
  const before = nices();
  t.equal(run.brakes.supports('nice'), true);
  await run.brakes.set('nice', NO_LIMITS);
  t.same(nices(), [10]);
  await run.brakes.set('nice', NO_LIMITS);
  await run.brakes.lift();
  t.same(nices(), process.getuid?.() === 0 ? before : [10]);
  t.match(run.brakes.supports('cpu_quota'), { reason: /cgroup/ });
  t.match(run.brakes.supports('memory_high'), { reason: /cgroup/ });
  await t.rejects(run.brakes.set('cpu_quota', NO_LIMITS));
});

t.test('limits say how they are held', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const load = await startContained(t, run, 'idle');
  await load.said('ready');
  const outcomes = await run.limits.apply(limitsOf({ memory: 100 * MIB, file_handles: 200 }));
  t.match(
    outcomes.find((outcome) => outcome.resource === 'memory'),
    { enforcement: 'polled' },
  );
  t.match(
    outcomes.find((outcome) => outcome.resource === 'tasks'),
    { enforcement: 'none' },
  );
  t.match(
    outcomes.find((outcome) => outcome.resource === 'file_handles'),
    { enforcement: 'polled', note: String },
  );
  t.equal(backend.capabilities.length, 7);
});

t.test('page size is the kernel’s', { skip }, async (t) => {
  const statm = Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[1]) * PAGE_BYTES;
  t.ok(Math.abs(statm - residentBytes(process.pid)) < 4 * MIB);
});

t.test('an unlinked file counts once, however many hold it', { skip }, async (t) => {
  const run = await createRun(t, backend);
  const path = join(run.tempDir, 'shared');
  const script = 'exec 7>>"$TMPDIR/shared"; sleep 60 & sleep 60 & echo ready; wait';
  const load = await startContained(t, run, '', { command: ['sh', '-c', script] });
  await load.said('ready');
  await waitFor('both children', () => children(load.pid).length === 2);
  const fd = openSync(path, 'w');
  writeSync(fd, Buffer.alloc(3 * MIB, 1));
  closeSync(fd);
  unlinkSync(path);
  t.match(run.usage.sample(performance.now(), true).tempStorage, { value: 3 * MIB, inodes: 1 });
});

t.test('the portable backend, by ps and pidusage', { skip: lacks('linux') }, async (t) => {
  const portable = new PortableBackend();
  t.teardown(() => portable.close());
  const run = await createRun(t, portable);
  t.match(run.usage.sample(0), {
    memory: { kind: 'unsupported', reason: /not measured yet/ },
    fileHandles: { kind: 'unsupported' },
  });
  const load = await startContained(t, run, '', {
    command: ['sh', '-c', 'sh -c "sleep 60" & echo ready; while :; do :; done'],
  });
  await load.said('ready');
  const first = await waitFor('a round', () => {
    const sample = run.usage.sample(performance.now());
    return sample.memory.kind === 'measured' && valueOf(sample.cpuTimeMs) > 0 && sample;
  });
  t.match(first, { populated: true, tasks: { quality: 'estimate' } });
  const resident = run.membership.members().reduce((sum, member) => sum + residentBytes(member.pid), 0);
  t.ok(Math.abs(valueOf(run.usage.sample(performance.now(), true).memory) - resident) < resident * 0.3);
  const { atMs } = measuredOf(first.memory);
  t.ok(atMs <= performance.now());
  t.match(run.inspect.processes(), [{ pid: load.pid }, {}, {}].slice(0, run.inspect.processes().length));
  await run.brakes.set('nice', NO_LIMITS);
  t.equal(getPriority(load.pid), 10);
  await run.brakes.lift();
  t.match(run.brakes.supports('soft_nofile'), { reason: String });
  t.match(await run.limits.apply(limitsOf({ memory: MIB, sockets: 5 })), [
    { resource: 'memory', enforcement: 'polled' },
  ]);
  t.ok((await run.killer.signal('SIGTERM')) >= 1);
  await run.killer.kill();
  await emptied(run);
  t.same(await survivorsAfter(load.marker, 2000), []);
  t.match(run.usage.sample(performance.now(), true), { populated: false, memory: { kind: 'gone' } });
  t.equal(await portable.adopt(run.record, NO_LIMITS, run.tempDir), null);
});
