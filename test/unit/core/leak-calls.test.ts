import t from 'tap';
import { BINS } from '../../../lib/core/floor-window.ts';
import { CallCounts, growthByCall, NAMES_MAX } from '../../../lib/core/leak-calls.ts';

const MIB = 2 ** 20;
/** Calls in bursts, the same each time. */
const busy = (bin: number): number => [0, 0, 9, 4, 0, 12, 1, 0, 0, 7, 3][bin % 11] ?? 0;
const other = (bin: number): number => [5, 0, 1, 0, 8, 0, 0, 6][bin % 8] ?? 0;
const bins = Array.from({ length: BINS }, (_, at) => at);

/** The floor at the beginning of each bin. */
function grown(perBin: (bin: number) => number): Float64Array {
  let level = 60 * MIB;
  return Float64Array.from(bins, (bin) => {
    const floor = level + (((bin * 7919) % 13) / 13) * 0.2 * MIB;
    level += perBin(bin);
    return floor;
  });
}

const counts = new Map([
  ['printEnv', bins.map(busy)],
  ['echo', bins.map(other)],
]);

t.test('the call that it grows by is named, with how much, and the other is not', async (t) => {
  const found = growthByCall(
    grown((bin) => busy(bin) * 1.2 * MIB),
    counts,
  );
  t.equal(found.length, 1);
  const [one] = found;
  if (one === undefined) return;
  t.equal(one.name, 'printEnv');
  t.ok(one.low <= 1.2 * MIB && 1.2 * MIB <= one.high, `${one.low} ${one.high}`);
  t.ok(Math.abs(one.perCall / MIB - 1.2) < 0.1, `${one.perCall / MIB}`);
  t.ok(one.share > 0.9);
  t.equal(
    one.calls,
    bins.map(busy).reduce((sum, calls) => sum + calls, 0),
  );
});

t.test('two that leak are both named', async (t) => {
  const found = growthByCall(
    grown((bin) => busy(bin) * MIB + other(bin) * 0.9 * MIB),
    counts,
  );
  t.same(found.map(({ name }) => name).toSorted(), ['echo', 'printEnv']);
});

/** Each at its own times, by a hash of bin and name. */
const often =
  (name: number, most: number) =>
  (bin: number): number =>
    Math.floor(((((bin * 2_654_435_761 + name * 40_503_331) >>> 7) % 997) / 997) * (most + 1));

t.test('one that is called rarely is named, however many are called more often', async (t) => {
  const rare = (bin: number): number => [0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0][bin % 13] ?? 0;
  const all = new Map(Array.from({ length: 12 }, (_, name) => [`often ${name}`, bins.map(often(name, 20))]));
  all.set('rare', bins.map(rare));
  const found = growthByCall(
    grown((bin) => rare(bin) * 5 * MIB),
    all,
  );
  t.same(
    found.map(({ name }) => name),
    ['rare'],
  );
});

t.test('one that is mostly called with it is not blamed, and what cannot be told apart is not said', async (t) => {
  const beside = (bin: number): number => busy(bin) * 3 + (bin % 5 === 2 ? 6 : 0);
  const floors = grown((bin) => busy(bin) * 1.2 * MIB);
  const both = new Map([
    ['beside', bins.map(beside)],
    ['printEnv', bins.map(busy)],
  ]);
  t.same(
    growthByCall(floors, both).map(({ name }) => name),
    ['printEnv'],
  );
  const always = new Map([
    ['before', bins.map(busy)],
    ['printEnv', bins.map(busy)],
  ]);
  t.same(growthByCall(floors, always), []);
});

t.test('nothing is said of what grows by time, or not at all, or at an even pace of calls', async (t) => {
  t.same(
    growthByCall(
      grown(() => 3 * MIB),
      counts,
    ),
    [],
  );
  t.same(
    growthByCall(
      grown(() => 0),
      counts,
    ),
    [],
  );
  t.same(
    growthByCall(
      grown(() => 3 * MIB),
      new Map([['echo', bins.map(() => 5)]]),
    ),
    [],
  );
  t.same(
    growthByCall(
      grown((bin) => busy(bin) * MIB),
      new Map(),
    ),
    [],
  );
  t.same(growthByCall(grown((bin) => busy(bin) * MIB).slice(0, 8), counts), [], 'too few points');
});

t.test('counts by bins: bounded in names and in time', async (t) => {
  const calls = new CallCounts();
  t.ok(calls.isEmpty);
  calls.add(-1, 'in the warm-up');
  t.ok(calls.isEmpty);
  for (let bin = 0; bin < 200; bin += 1) calls.add(bin, 'a');
  calls.add(199, 'a');
  t.same(calls.of(199, 3).get('a'), [1, 1, 2]);
  t.same(calls.of(198, 2).get('a'), [1, 1], 'the last closed bin');
  for (let name = 0; name < 1_000; name += 1) calls.add(199, `name ${name}`);
  const all = calls.of(199, BINS);
  t.equal(all.size, NAMES_MAX + 1);
  t.equal(all.get('(others)')?.at(-1), 1_000 - (NAMES_MAX - 1));
  t.equal(calls.of(500, BINS).size, 0, 'what was long ago is not now');
  calls.add(500, 'late');
  t.same([...calls.of(500, 1)], [['late', [1]]], 'names that are silent make room');
});
