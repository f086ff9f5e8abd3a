import t from 'tap';
import { interpolate } from '../../../config/interpolate.ts';

const ENV = { NAME: 'value', EMPTY: '', NESTED: '${NAME}' };

t.test('what is replaced', async (t) => {
  const cases = [
    ['plain', 'plain'],
    ['${NAME}', 'value'],
    ['a${NAME}b${NAME}', 'avaluebvalue'],
    ['${EMPTY}', ''],
    ['${EMPTY:-x}', 'x'],
    ['${MISSING:-}', ''],
    ['${MISSING:-a:-b}', 'a:-b'],
    ['${NAME:-x}', 'value'],
    ['$$', '$'],
    ['$${NAME}', '${NAME}'],
    ['$$$$', '$$'],
    ['${NESTED}', '${NAME}'],
    ['cost: 5$', 'cost: 5$'],
    ['$1 $ $-', '$1 $ $-'],
  ] as const;
  for (const [source, text] of cases) t.same(interpolate(source, ENV), { text, problems: [] }, source);
});

t.test('what is refused, each with where it is', async (t) => {
  const { problems } = interpolate('${A} ${A} $B ${ ${toString}', ENV);
  t.same(
    problems.map(({ written, occurrence }) => [written, occurrence]),
    [
      ['${A', 0],
      ['${A', 1],
      ['$B', 0],
      ['${', 2],
      ['${toString', 0],
    ],
  );
});

t.test('hostile text takes no time and shows no value', async (t) => {
  const { problems } = interpolate('${'.repeat(50_000), { SECRET: 'hunter2' });
  t.equal(problems.length, 16);
  t.notMatch(JSON.stringify(interpolate('${SECRET} ${NO}', { SECRET: 'hunter2' }).problems), /hunter2/);
});
