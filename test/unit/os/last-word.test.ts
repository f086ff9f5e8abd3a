import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import t from 'tap';
import { openLastWord } from '../../../lib/os/last-word.ts';
import { native } from '../../../lib/os/native.ts';
import { children } from '../../helpers/proc-look.ts';
import { lacks } from '../../helpers/skip.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const skip = lacks('linux');

async function text(stream: Readable): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += String(chunk);
  return all;
}

async function killed(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

t.test('a pipe', { skip }, async (t) => {
  const shell = spawn('sh', ['-c', 'sh -c "echo first >&2; echo ready; exec sleep 60" 2>&1 >/dev/null | cat'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const tool = await waitFor('the tool', () =>
    children(shell.pid ?? 0).find((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n'),
  );
  const word = openLastWord(tool);
  t.ok(word);
  process.kill(tool, 'SIGKILL');
  t.equal(word?.write('governor: stopped\x1b[31m\nsecond line'), true);
  word?.close();
  word?.close();
  t.equal(word?.write('too late'), false);
  t.equal(
    await text(shell.stdout),
    'first\ngovernor: stopped?[31m?second line\n',
    'one line, at the end, and the reader sees the end',
  );
});

t.test('a pipe that is full, and one that nobody reads', { skip }, async (t) => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'governor-test-')));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const shell = spawn('sh', ['-c', 'mkfifo f; sleep 60 <f & exec 2>f; echo $!; head -c 1000000 /dev/zero >&2'], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => shell.kill('SIGKILL'));
  const [line] = (await once(shell.stdout, 'data')) as [Buffer];
  const reader = Number(line.toString());
  const head = await waitFor('the writer', () =>
    children(shell.pid ?? 0).find((pid) => readFileSync(`/proc/${pid}/comm`, 'latin1') === 'head\n'),
  );
  await waitFor(
    'a full pipe',
    () =>
      / S /.test(readFileSync(`/proc/${head}/stat`, 'latin1')) &&
      readFileSync(`/proc/${head}/wchan`, 'latin1').includes('pipe'),
  );
  const word = openLastWord(head);
  t.equal(word?.write('does not wait'), false);
  process.kill(reader, 'SIGKILL');
  await waitFor('nobody to read', () => word?.write('EPIPE') === false);
  word?.close();
});

t.test('a file is appended to', { skip }, async (t) => {
  const path = join(t.testdir({}), 'log');
  const fd = openSync(path, 'w');
  const child = spawn('sh', ['-c', 'echo 0123456789 >&2; echo ready; exec sleep 60'], {
    stdio: ['ignore', 'pipe', fd],
  });
  closeSync(fd);
  await once(child.stdout as Readable, 'data');
  const word = openLastWord(child.pid ?? 0);
  await killed(child);
  t.equal(word?.write('stopped'), true);
  word?.close();
  t.equal(readFileSync(path, 'utf8'), '0123456789\nstopped\n');
});

t.test('a file that the tool may only read is not written', { skip }, async (t) => {
  const path = join(t.testdir({ file: 'precious' }), 'file');
  const fd = openSync(path, 'r');
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', fd] });
  closeSync(fd);
  t.teardown(() => child.kill('SIGKILL'));
  t.equal(openLastWord(child.pid ?? 0), null);
});

t.test('a terminal', { skip }, async (t) => {
  const terminal = `import os, pty, sys, time
pid, master = pty.fork()
if pid == 0:
    os.write(1, b'ready\\n'); time.sleep(60)
print(pid, flush=True)
while True:
    try: data = os.read(master, 1000)
    except OSError: break
    if not data: break
    os.write(1, data)`;
  const host = spawn('python3', ['-c', terminal], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => host.kill('SIGKILL'));
  const output: string[] = [];
  host.stdout.on('data', (chunk) => output.push(String(chunk)));
  await waitFor('the terminal', () => output.join('').includes('ready'));
  const tool = Number(/^\d+/m.exec(output.join(''))?.[0]);
  const before = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[4];
  const word = openLastWord(tool);
  t.equal(word?.write('stopped'), true);
  const after = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[4];
  t.equal(after, before, 'it does not become our controlling terminal');
  process.kill(tool, 'SIGKILL');
  await waitFor('the line', () => output.join('').includes('stopped'));
  word?.close();
});

t.test('a socket, as Node gives its children', { skip }, async (t) => {
  const child = spawn('sh', ['-c', 'echo first >&2; echo ready; exec sleep 60'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = text(child.stderr);
  await once(child.stdout, 'data');
  const word = openLastWord(child.pid ?? 0);
  await killed(child);
  if (!native().available) {
    t.equal(word, null, 'not without native calls');
    return;
  }
  t.equal(word?.write('stopped'), true);
  word?.close();
  t.equal(await said, 'first\nstopped\n');
});

t.test('a socket that is full or closed', { skip: skip || (native().available ? false : 'needs koffi') }, async (t) => {
  const child = spawn('sh', ['-c', 'echo ready; head -c 10000000 /dev/zero >&2; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  child.stderr.pause();
  await once(child.stdout, 'data');
  const head = await waitFor('the writer', () => children(child.pid ?? 0)[0]);
  const word = openLastWord(head);
  await waitFor('a full socket', () => word?.write('x'.repeat(4000)) === false);
  child.stderr.destroy();
  t.equal(word?.write('nobody there'), false);
  word?.close();
});

t.test('what is left alone', { skip }, async (t) => {
  const zero = openSync('/dev/zero', 'w');
  const device = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', zero] });
  closeSync(zero);
  t.teardown(() => device.kill('SIGKILL'));
  t.equal(openLastWord(device.pid ?? 0), null, 'a device');
  const nothing = spawn('sh', ['-c', 'exec 2>&-; echo ready; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => nothing.kill('SIGKILL'));
  await once(nothing.stdout, 'data');
  t.equal(openLastWord(nothing.pid ?? 0), null, 'a closed handle');
  const silent = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.teardown(() => silent.kill('SIGKILL'));
  const word = openLastWord(silent.pid ?? 0);
  t.equal(word?.write('into /dev/null'), true);
  word?.close();
  await killed(silent);
  t.equal(openLastWord(silent.pid ?? 0), null, 'no such process');
});

t.test('another user’s', { skip: skip || lacks('root') }, async (t) => {
  const path = join(t.testdir({}), 'log');
  const fd = openSync(path, 'w');
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', fd], uid: 65534, gid: 65534 });
  closeSync(fd);
  t.teardown(() => child.kill('SIGKILL'));
  t.equal(openLastWord(child.pid ?? 0), null);
  t.equal(readFileSync(path, 'utf8'), '');
});

t.test('a long line is cut to what a pipe takes in one piece', { skip }, async (t) => {
  const path = join(t.testdir({}), 'log');
  symlinkSync(path, join(path, '..', 'link'));
  const fd = openSync(path, 'w');
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', fd] });
  closeSync(fd);
  t.teardown(() => child.kill('SIGKILL'));
  const word = openLastWord(child.pid ?? 0);
  t.equal(word?.write('x'.repeat(100_000)), true);
  word?.close();
  t.equal(readFileSync(path, 'utf8').length, 4001);
});
