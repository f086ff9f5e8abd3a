import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import type { Reading } from '../../lib/core/usage.ts';
import { isTmpfs } from '../../lib/os/tmpfs.ts';
import { cgroupBenches, limitsOf, TEMP_PARENT } from '../helpers/cgroup-backends.ts';
import { startGated } from '../helpers/gated.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;

for (const bench of await cgroupBenches()) {
  t.test(`${bench.id}: known loads on every resource`, async (t) => {
    const run = await bench.create(t, limitsOf({ memory: 1024 * MIB }));
    t.equal(run.usage.sample(performance.now()).populated, false, 'nobody is in it at first');
    const env = { TMPDIR: run.tempDir };
    const loads = [
      startGated(t, 'open-files', { args: ['--count=20'], env }),
      startGated(t, 'open-sockets', { args: ['--count=5', '--kind=udp'], env }),
      startGated(t, 'fill-temp-unlinked-open', { args: ['--mb=8'], env }),
      startGated(t, 'leak-memory', { args: ['--rate-mb=1000', '--cap-mb=64'], env }),
    ];
    for (const load of loads) await run.attach(load.identity);
    writeFileSync(join(run.tempDir, 'plain'), Buffer.alloc(4 * MIB, 1));
    for (const load of loads) load.go();
    for (const load of loads) await load.said('ready');
    await loads[3]?.said('full');

    const pids = loads.map(({ identity }) => identity.pid);
    t.same(
      run.membership
        .members()
        .map(({ pid }) => pid)
        .toSorted(),
      pids.toSorted(),
      'members',
    );
    const sample = await waitFor('a complete sample', () => {
      const now = run.usage.sample(performance.now(), true);
      return valueOf(now.tempStorage) >= 12 * MIB && now;
    });
    t.equal(sample.populated, true);
    t.equal(
      valueOf(sample.fileHandles),
      sum(pids, (pid) => descriptors(pid).length),
      'file handles',
    );
    t.equal(
      valueOf(sample.sockets),
      new Set(pids.flatMap(descriptors).filter((link) => link.startsWith('socket:'))).size,
      'sockets',
    );
    t.equal(
      valueOf(sample.tasks),
      sum(pids, (pid) => readdirSync(`/proc/${pid}/task`).length),
      'tasks',
    );
    const resident = sum(pids, (pid) => statusKiB(pid, 'VmRSS') * 1024);
    const anonymous = sum(pids, (pid) => statusKiB(pid, 'RssAnon') * 1024);
    const memory = valueOf(sample.memory);
    t.ok(memory >= anonymous * 0.9, `memory ${memory} holds the ${anonymous} anonymous bytes`);
    t.ok(memory <= resident + 32 * MIB, `memory ${memory} is not far above the resident ${resident}`);
    const cpuMs = sum(pids, cpuTimeMs);
    t.ok(
      valueOf(run.usage.sample(performance.now(), true).cpuTimeMs) >= cpuMs * 0.8,
      `CPU time of at least ${cpuMs} ms`,
    );
    const temp = valueOf(sample.tempStorage);
    t.ok(temp >= 12 * MIB && temp < 13 * MIB, `temp storage ${temp}, unlinked files included`);
  });

  const inMemory = isTmpfs(TEMP_PARENT) && 'the temp directory is in memory: its files cannot be reclaimed';
  t.test(`${bench.id}: page cache is no usage`, { skip: inMemory }, async (t) => {
    const run = await bench.create(t, limitsOf({ memory: 1024 * MIB }));
    const reader = startGated(t, 'page-cache-reader', { args: ['--mb=150'], env: { TMPDIR: run.tempDir } });
    await run.attach(reader.identity);
    reader.go();
    await reader.said('ready');
    const memory = valueOf(run.usage.sample(performance.now(), true).memory);
    t.ok(memory < 100 * MIB, `${memory} bytes with 150 MiB of file in the cache`);
    const charged = chargedBytes(run.record.directories.map(({ path }) => path));
    if (charged !== null) t.ok(charged > 150 * MIB, `the kernel charges ${charged} bytes with the cache`);
  });

  t.test(`${bench.id}: CPU time never falls`, async (t) => {
    const run = await bench.create(t);
    const burst = startGated(t, 'startup-burst');
    await run.attach(burst.identity);
    burst.go();
    await burst.said('ready');
    const seen: number[] = [];
    for (let look = 0; look < 10; look += 1) {
      seen.push(valueOf(run.usage.sample(performance.now()).cpuTimeMs));
      await pause(20);
    }
    t.same(
      seen,
      seen.toSorted((a, b) => a - b),
    );
  });

  t.test(`${bench.id}: a tree that ended`, async (t) => {
    const run = await bench.create(t);
    const idle = startGated(t, 'idle');
    await run.attach(idle.identity);
    idle.go();
    await idle.said('ready');
    t.equal(run.usage.sample(performance.now()).populated, true);
    await run.killer.kill();
    await waitFor('an empty sample', () => !run.usage.sample(performance.now()).populated);
    await run.remove(5000);
    const sample = run.usage.sample(performance.now(), true);
    t.equal(sample.populated, false);
    t.equal(valueOf(sample.fileHandles), 0);
    t.not(sample.cpuTimeMs.kind, 'unsupported', 'a removed group reads as gone or keeps its total');
  });
}

function valueOf(reading: Reading): number {
  return reading.kind === 'measured' ? reading.value : Number.NaN;
}

function sum(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + of(pid), 0);
}

function descriptors(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

function statusKiB(pid: number, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function cpuTimeMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** What the memory controller charges in all, or null without one. */
function chargedBytes(directories: readonly string[]): number | null {
  for (const directory of directories) {
    for (const file of ['memory.current', 'memory.usage_in_bytes']) {
      if (readdirSync(directory).includes(file)) return Number(readFileSync(join(directory, file), 'utf8'));
    }
  }
  return null;
}
