import t from 'tap';
import { nearest, suggestion } from '../../../config/suggest.ts';

const KNOWN = ['memory', 'cpu', 'file_handles', 'sockets', 'runtime', 'temp_storage', 'tasks'];

t.test('near words', async (t) => {
  const cases = [
    ['memroy', 'memory'],
    ['Memory', 'memory'],
    ['fileHandles', 'file_handles'],
    ['file-handles', 'file_handles'],
    ['socket', 'sockets'],
    ['cpus', 'cpu'],
    ['tmp_storage', 'temp_storage'],
    ['x', null],
    ['disk', null],
    ['', null],
    ['m'.repeat(10_000), null],
  ] as const;
  for (const [word, expected] of cases) t.equal(nearest(word, KNOWN), expected, word.slice(0, 20));
});

t.test('the list where nothing is near', async (t) => {
  t.equal(suggestion('disk', ['a', 'b'], 'known keys'), 'known keys: a, b');
  t.equal(suggestion('disk', [], 'tools'), 'there are no tools here');
});
