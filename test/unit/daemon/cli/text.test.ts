import t from 'tap';
import { renderTable } from '../../../../daemon/cli/table.ts';
import { displayWidth, padEnd, padStart, printable, truncate } from '../../../../daemon/cli/text.ts';

t.test('nothing that could move the cursor reaches a terminal', async (t) => {
  t.equal(printable('a\u001b[31mred\u0007\r\n\tb'), 'a\\x1b[31mred\\x07\\x0d\\x0a\\x09b');
  t.equal(printable('\u009b1m\u007f'), '\\x9b1m\\x7f', 'C1 and DEL too');
  t.equal(printable('evil\u202egnp.exe\u2066'), 'evil\\u202egnp.exe\\u2066');
  t.equal(printable('a\u200bb\ufeff\ud800'), 'a\\u200bb\\ufeff\\ud800');
  t.equal(printable('naïve 工具 👩‍💻'), 'naïve 工具 👩‍💻');
});

t.test('width on a terminal', async (t) => {
  for (const [text, width] of [
    ['', 0],
    ['abc', 3],
    ['naïve', 5],
    ['nai\u0308ve', 5],
    ['工具', 4],
    ['ｆｕｌｌ', 8],
    ['👩‍💻', 2],
    ['한글', 4],
    ['🇩🇪', 2],
    ['–', 1],
  ] as const) {
    t.equal(displayWidth(text), width, JSON.stringify(text));
  }
  t.equal(padEnd('工具', 6), '工具  ');
  t.equal(padStart('工具', 6), '  工具');
  t.equal(padEnd('long', 2), 'long');
});

t.test('cutting keeps characters whole', async (t) => {
  t.equal(truncate('abcdef', 6), 'abcdef');
  t.equal(truncate('abcdef', 4), 'abc…');
  t.equal(truncate('工具箱', 4), '工…');
  t.equal(truncate('abc', 0), '');
});

t.test('tables', async (t) => {
  const columns = [{ title: 'NAME', maxColumns: 8 }, { title: 'N', align: 'right' }, { title: 'NOTE' }] as const;
  t.same(
    renderTable(columns, [
      ['工具', '7', 'x\ny'],
      ['a', '1234', ''],
      ['very long name', '', ''],
    ]),
    ['NAME         N  NOTE', '工具         7  x\\x0ay', 'a         1234', 'very lo…'],
  );
  const painted = renderTable(
    [{ title: 'A', align: 'right' }, { title: 'B' }],
    [
      [
        { text: 'x', paint: (text) => `<${text}>` },
        { text: 'y', paint: (text) => `<${text}>` },
      ],
      ['long', 'z'],
    ],
  );
  t.same(painted, ['   A  B', '   <x>  <y>', 'long  z'], 'style does not count for the width');
});
