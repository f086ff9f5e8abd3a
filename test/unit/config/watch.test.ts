import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { watchConfig } from '../../../config/watch.ts';
import type { ConfigWatcher, WatchOptions } from '../../../config/watch.ts';
import type { Problem } from '../../../lib/core/errors.ts';
import { ok } from '../../../lib/core/result.ts';
import { pause, waitFor } from '../../helpers/wait-for.ts';

t.test('an edit in place, a rename over it, a deletion and a new file are each told', async (t) => {
  const path = join(t.testdir({ 'limits.yaml': 'one' }), 'limits.yaml');
  const { seen } = watching(t, path);
  writeFileSync(path, 'two');
  await told(seen, ['two']);
  writeFileSync(`${path}.tmp`, 'three');
  renameSync(`${path}.tmp`, path);
  await told(seen, ['two', 'three']);
  unlinkSync(path);
  await told(seen, ['two', 'three', 'there is no such file']);
  writeFileSync(path, 'four');
  await told(seen, ['two', 'three', 'there is no such file', 'four']);
});

t.test('the same contents, and other files of the folder, are not told', async (t) => {
  const path = join(t.testdir({ 'limits.yaml': 'one' }), 'limits.yaml');
  const { seen } = watching(t, path);
  writeFileSync(path, 'one');
  writeFileSync(`${path}.swp`, 'other');
  await pause(150);
  writeFileSync(path, 'two');
  await told(seen, ['two']);
});

t.test('several writes of one edit are told as one, at the end', async (t) => {
  const path = join(t.testdir({ 'limits.yaml': 'one' }), 'limits.yaml');
  const { seen } = watching(t, path, { debounceMs: 300 });
  for (const text of ['', 'tw', 'two']) writeFileSync(path, text);
  await told(seen, ['two']);
});

t.test('a folder that is deleted and made again is found by the poll', async (t) => {
  const folder = join(t.testdir({ sub: { 'limits.yaml': 'one' } }), 'sub');
  const path = join(folder, 'limits.yaml');
  const { seen } = watching(t, path);
  rmSync(folder, { recursive: true });
  await told(seen, ['there is no such file']);
  mkdirSync(folder);
  writeFileSync(path, 'two');
  await told(seen, ['there is no such file', 'two']);
  writeFileSync(path, 'three');
  await told(seen, ['there is no such file', 'two', 'three']);
});

t.test('a mounted ConfigMap: the link beside the file is swapped', async (t) => {
  const folder = t.testdir({ v1: { 'limits.yaml': 'one' }, v2: { 'limits.yaml': 'two' } });
  symlinkSync('v1', join(folder, '..data'));
  symlinkSync('..data/limits.yaml', join(folder, 'limits.yaml'));
  const { seen } = watching(t, join(folder, 'limits.yaml'));
  symlinkSync('v2', join(folder, '..next'));
  renameSync(join(folder, '..next'), join(folder, '..data'));
  await told(seen, ['two']);
});

t.test('without a folder there is only the poll, and it finds the file', async (t) => {
  const folder = join(t.testdir({}), 'later');
  const { seen, watcher } = watching(t, join(folder, 'limits.yaml'));
  t.equal(watcher.mode, 'poll');
  mkdirSync(folder);
  writeFileSync(join(folder, 'limits.yaml'), 'one');
  await told(seen, ['one']);
});

t.test('nothing is told after close', async (t) => {
  const path = join(t.testdir({ 'limits.yaml': 'one' }), 'limits.yaml');
  const { seen, watcher } = watching(t, path);
  t.equal(watcher.mode, 'events');
  writeFileSync(path, 'two');
  watcher.close();
  watcher.close();
  await pause(200);
  t.same(seen, []);
});

function watching(
  t: Test,
  path: string,
  more: Partial<WatchOptions<string>> = {},
): { seen: string[]; watcher: ConfigWatcher } {
  const seen: string[] = [];
  const watcher = watchConfig<string>({
    path,
    load: (text) => ok(text),
    onChange: (result) => seen.push(result.ok ? result.value : messages(result.error)),
    debounceMs: 30,
    pollMs: 100,
    ...more,
  });
  t.teardown(() => watcher.close());
  return { seen, watcher };
}

function messages(problems: readonly Problem[]): string {
  return problems.map(({ message }) => message).join('; ');
}

async function told(seen: readonly string[], expected: readonly string[]): Promise<void> {
  await waitFor(JSON.stringify(expected), () => JSON.stringify(seen) === JSON.stringify(expected));
}
