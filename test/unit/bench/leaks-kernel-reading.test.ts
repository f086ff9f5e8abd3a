/** What the bench counts itself of a program of the slow pace. */

import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parents, programBelow, readKernel } from '../../bench/leaks/kernel-reading.ts';
import { waitFor } from '../../helpers/wait-for.ts';

t.test('handles, descendants and files of a program, and which one it is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'governor-kernel-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'deep'));
  writeFileSync(join(folder, 'deep', 'file'), Buffer.alloc(5_000));
  writeFileSync(join(folder, 'file'), Buffer.alloc(300));
  // A shell with a child of its own and a pair of sockets, which is what Node gives it for its input.
  const child = spawn('sh', ['-c', 'sleep 60 & wait', 'program.mjs', '--family=one'], {
    env: { PATH: process.env['PATH'], TMPDIR: folder },
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const pid = child.pid as number;
  t.teardown(() => process.kill(-pid, 'SIGKILL'));
  const all = await waitFor('the child of the shell', () => {
    const seen = parents();
    return readKernel(pid, seen).tasks === 1 && seen;
  });
  t.match(readKernel(pid, all), { sockets: 1, tasks: 1, temp_storage: 5_300 });
  t.equal(all.get(pid), process.pid);
  t.equal(programBelow(process.pid, '--family=one', all), pid);
  t.equal(programBelow(pid, '--family=one', all), pid);
  t.equal(programBelow(pid, '--family=other', all), null);
});

t.test('a file that is opened is one more', async (t) => {
  const before = readKernel(process.pid, parents()).file_handles;
  const handle = openSync('/dev/null', 'r');
  t.equal(readKernel(process.pid, parents()).file_handles, before + 1);
  closeSync(handle);
});

t.test('what is gone has nothing', async (t) => {
  t.same(readKernel(2 ** 22 + 1, parents()), { file_handles: 0, sockets: 0, tasks: 0, temp_storage: 0 });
});
