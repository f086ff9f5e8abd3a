import t from 'tap';
import { LineCutter, LogRing } from '../../../lib/supervisor/log-ring.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function cutter(): { readonly lines: string[]; readonly cut: LineCutter } {
  const lines: string[] = [];
  return { lines, cut: new LineCutter((line) => void lines.push(line)) };
}

t.test('lines however the stream is cut', async (t) => {
  const { lines, cut } = cutter();
  for (const chunk of ['one\ntw', 'o\n\nthr', 'ee']) cut.push(bytes(chunk));
  t.same(lines, ['one', 'two', '']);
  cut.end();
  cut.end();
  t.same(lines, ['one', 'two', '', 'three']);
});

t.test('a character that is cut in two stays one', async (t) => {
  const { lines, cut } = cutter();
  const whole = bytes('größe €\n');
  for (const byte of whole) cut.push(Uint8Array.of(byte));
  t.same(lines, ['größe €']);
});

t.test('a line without end is told once, and holds no memory', async (t) => {
  const { lines, cut } = cutter();
  for (let count = 0; count < 100; count++) cut.push(bytes('x'.repeat(10_000)));
  t.equal(lines.length, 1);
  cut.push(bytes('the rest of it\nnext\n'));
  t.same(lines.slice(1), ['next']);
  cut.push(bytes('y'.repeat(5_000)));
  cut.end();
  t.equal(lines.length, 3);
});

t.test('the ring keeps the last thousand lines, each cut and masked', async (t) => {
  const ring = new LogRing();
  for (let count = 0; count < 5_000; count++) ring.add(`line ${count}`);
  t.equal(ring.last(10_000).length, 1_000);
  t.same(ring.last(2), ['line 4998', 'line 4999']);
  t.same(ring.last(1_000)[0], 'line 4000');
  ring.add(`password=hunter2hunter2 ${'z'.repeat(5_000)}`);
  const [line = ''] = ring.last(1);
  t.notMatch(line, /hunter2/);
  t.ok(line.length <= 2_000);
  t.same(ring.last(0), []);
});

t.test('a secret that is cut, in a line or in the middle of one without end, is not there in half', async (t) => {
  // Half of it does not look like any secret.
  const secret = `https://u:${'Zx9Secret'.repeat(5)}@host/`;
  const ring = new LogRing();
  const cut = new LineCutter((line) => ring.add(line));
  for (const end of ['\n', `${' .'.repeat(10_000)}\n`])
    for (let before = 1_940; before <= 2_010; before += 5) {
      const line = bytes(`${'. '.repeat(1_010).slice(0, before)}${secret}${end}`);
      for (let from = 0; from < line.length; from += 2_007) cut.push(line.subarray(from, from + 2_007));
    }
  const lines = ring.last(1_000);
  t.equal(lines.length, 2 * 15);
  t.ok(lines.every((line) => line.length <= 2_000));
  t.notMatch(lines.join('\n'), /Zx9|Secret|9S/);
});
