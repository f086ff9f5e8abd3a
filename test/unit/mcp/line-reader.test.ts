import t from 'tap';
import { LineReader } from '../../../lib/mcp/wire/line-reader.ts';

function reader(maxLineBytes = 16) {
  const heard: string[] = [];
  const lines = new LineReader({
    maxLineBytes,
    onLine: (line) => void heard.push(line),
    onTooLong: () => void heard.push('(too long)'),
  });
  return { heard, lines };
}

t.test('however the stream is cut, also inside a character', async (t) => {
  const bytes = Buffer.from('größe\n\nzwei\r\ndrei\nhalb');
  for (let size = 1; size <= bytes.length; size++) {
    const { heard, lines } = reader();
    for (let at = 0; at < bytes.length; at += size) lines.push(bytes.subarray(at, at + size));
    t.same(heard, ['größe', '', 'zwei\r', 'drei'], `pieces of ${size}`);
  }
});

t.test('the bound: the longest line, and one byte more', async (t) => {
  for (const size of [1, 5, 100]) {
    const { heard, lines } = reader();
    const bytes = Buffer.from(`${'a'.repeat(16)}\n${'b'.repeat(17)}\n${'c'.repeat(40)}\nd\n`);
    for (let at = 0; at < bytes.length; at += size) lines.push(bytes.subarray(at, at + size));
    t.same(heard, ['a'.repeat(16), '(too long)', '(too long)', 'd'], `pieces of ${size}`);
  }
});

t.test('what is not complete can be forgotten', async (t) => {
  const { heard, lines } = reader();
  lines.push(Buffer.from('half'));
  lines.clear();
  lines.push(Buffer.from('whole\n'));
  t.same(heard, ['whole']);
});
