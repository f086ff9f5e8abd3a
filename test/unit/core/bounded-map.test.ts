import t from 'tap';
import { BoundedMap } from '../../../lib/core/bounded-map.ts';

t.test('what was set longest ago goes, and setting is what counts', async (t) => {
  const map = new BoundedMap<string, number>(2);
  map.set('a', 1);
  map.set('b', 2);
  map.get('a');
  map.set('a', 3);
  map.set('c', 4);
  t.strictSame(
    [...map],
    [
      ['a', 3],
      ['c', 4],
    ],
  );
  t.equal(map.get('b'), undefined);
  map.delete('a');
  t.strictSame([...map], [['c', 4]]);
});
