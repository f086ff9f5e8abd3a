import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  errnoOf,
  failedReading,
  isDenied,
  isGone,
  KernelParseError,
  KernelWriteError,
  KeptFile,
  KeyedFields,
  parseNumber,
  writeKernelFile,
} from '../../../lib/os/kernel-file.ts';

t.test('a number is read anew each time', async (t) => {
  const path = join(t.testdir({ value: '123\n' }), 'value');
  const file = new KeptFile(path);
  t.teardown(() => file.close());
  t.equal(file.readNumber(), 123);
  writeFileSync(path, '18446744073709551615\n');
  t.equal(file.readNumber(), 2 ** 64);
  writeFileSync(path, 'max\n');
  t.equal(file.readNumber(), Number.POSITIVE_INFINITY);
  writeFileSync(path, '-1\n');
  t.equal(file.readNumber(), -1);
  writeFileSync(path, 'rubbish\n');
  t.throws(() => file.readNumber(), new KernelParseError(path, 'rubbish\n'));
});

t.test('keys are found in any order, and a missing one is no zero', async (t) => {
  const path = join(t.testdir({ stat: 'anon 5\nfile_mapped 9\nfile 70\nslab:  12 kB\nanonymous 3\n' }), 'stat');
  const file = new KeptFile(path);
  t.teardown(() => file.close());
  const fields = new KeyedFields(['slab', 'file', 'anon', 'shmem']);
  t.ok(file.readKeyed(fields));
  t.same([...fields.values], [12, 70, 5, Number.NaN]);
  writeFileSync(path, 'file 1\n');
  t.ok(file.readKeyed(fields));
  t.same([...fields.values], [Number.NaN, 1, Number.NaN, Number.NaN], 'nothing of the last time stays');
});

t.test('a key at the very end of a torn text is not read past the end', async (t) => {
  const fields = new KeyedFields(['anon']);
  const buffer = Buffer.from('anon 77777');
  fields.parse(buffer, 4);
  t.same([...fields.values], [Number.NaN]);
  fields.parse(buffer, 7);
  t.same([...fields.values], [77]);
});

t.test('numbers from bytes', async (t) => {
  const parse = (text: string): number => parseNumber(Buffer.from(text), 0, text.length);
  t.equal(parse('  42 kB'), 42);
  t.equal(parse(':\t7'), 7);
  t.equal(parse('0'), 0);
  t.same(parse(''), Number.NaN);
  t.same(parse('x1'), Number.NaN);
  t.same(parse('-'), Number.NaN);
});

t.test('a file longer than the buffer is read whole', async (t) => {
  const text = Array.from({ length: 30_000 }, (_, line) => `${line}\n`).join('');
  const path = join(t.testdir({ long: text }), 'long');
  const file = new KeptFile(path);
  t.teardown(() => file.close());
  t.equal(file.read()?.toString('latin1'), text);
  file.close();
  t.doesNotThrow(() => file.close(), 'closing twice is closing once');
});

t.test(
  'a kept file of a process that was reaped says gone',
  { skip: process.platform !== 'linux' && 'needs /proc' },
  async (t) => {
    const child = spawn('sleep', ['60']);
    const file = new KeptFile(`/proc/${child.pid}/stat`);
    t.teardown(() => file.close());
    t.ok(file.fill() > 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    t.equal(file.fill(), -1);
    t.equal(file.fillAll(), -1);
    t.equal(file.read(), null);
    t.equal(file.readNumber(), null);
    t.equal(file.readKeyed(new KeyedFields(['a'])), false);
    t.equal(KeptFile.tryOpen(`/proc/${child.pid}/stat`), null);
  },
);

t.test('a refused write names file, text and errno', async (t) => {
  const directory = t.testdir({ file: 'old text' });
  await writeKernelFile(join(directory, 'file'), 'new');
  t.match(readFileSync(join(directory, 'file'), 'utf8'), /^new/);
  const missing = join(directory, 'missing');
  const error = await writeKernelFile(missing, '1024').catch((thrown: unknown) => thrown);
  t.ok(error instanceof KernelWriteError);
  t.match(error, {
    path: missing,
    text: '1024',
    errno: 'ENOENT',
    message: `${missing}: writing "1024" was refused: ENOENT`,
  });
  t.ok(isGone(error));
});

t.test('what a failed read means', async (t) => {
  const errno = (code: string): Error => Object.assign(new Error(code), { code });
  for (const code of ['ENOENT', 'ESRCH', 'ENODEV']) t.same(failedReading(errno(code), 'x'), { kind: 'gone' });
  for (const code of ['EACCES', 'EPERM', 'EMFILE'])
    t.match(failedReading(errno(code), 'links'), { kind: 'unsupported', reason: /links.*E/ });
  t.throws(() => failedReading(errno('EIO'), 'x'), /EIO/, 'anything else is not hidden');
  t.throws(() => failedReading('no error', 'x'));
  t.notOk(isDenied(errno('ENOENT')));
  t.equal(errnoOf(new Error('plain')), null);
});
