import t from 'tap';
import type { CacheOptions } from '../../../lib/client/cache-types.ts';
import { ResourceCache } from '../../../lib/client/resource-cache.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import { manualTime, settled, type ManualTime } from '../../helpers/manual-time.ts';
import { FakeLevel } from '../../helpers/fake-level.ts';
import { gate } from '../../helpers/pool.ts';

interface Stand {
  readonly cache: ResourceCache;
  readonly level: FakeLevel;
  readonly time: ManualTime;
  readonly said: string[];
  load(key: string, value?: unknown): Promise<unknown>;
}

function stand(t: TestScope, options: CacheOptions = {}): Stand {
  const time = manualTime(t);
  const level = new FakeLevel();
  const said: string[] = [];
  const cache = new ResourceCache({
    secondLevel: level,
    log: { info: (message) => said.push(message), warn: (message) => said.push(message) },
    monotonicMs: () => time.monotonicMs(),
    wallMs: () => time.wallMs(),
    ...options,
  });
  return { cache, level, time, said, load: (key, value = `value of ${key}`) => cache.load(key, () => value) };
}

const DOWN = 'the second level of the cache does not answer, calls go on without it: ';

t.test('memory, then the second level, then the loader', async (t) => {
  const { cache, level, time, load } = stand(t);
  t.equal(await load('a'), 'value of a');
  await settled();
  t.same(level.log, ['get a', 'set a "value of a"']);
  t.equal(level.stored.get('a')?.ttlMs, 900_000, 'the second level keeps it for its whole time');
  t.equal(await load('a', 'other'), 'value of a');
  t.equal(level.log.length, 2, 'what is in memory is not asked for');
  await time.pass(60_000);
  t.equal(cache.get('a'), 'value of a');
  await time.pass(1);
  t.equal(cache.get('a'), undefined, 'the first level for a minute');
  t.equal(await load('a', 'other'), 'value of a', 'and then from the second');
  t.equal(level.log.at(-1), 'get a');
  t.match(cache.statistics(), {
    maxEntries: 1_000,
    loads: 1,
    secondLevel: { state: 'up', hits: 1, misses: 1, stored: 1 },
  });
});

t.test('what is nearly over in the second level is no longer kept in the first', async (t) => {
  const { cache, level, time, load } = stand(t);
  level.stored.set('a', { id: { key: 'a', uri: 'a', group: '' }, text: '"shared"', ttlMs: 500 });
  const from: unknown[] = [];
  cache.on('loaded', (event) => from.push(event.from));
  t.equal(await load('a'), 'shared');
  t.same(from, ['second_level']);
  await time.pass(501);
  t.equal(cache.get('a'), undefined);
});

t.test('what cannot be read there is thrown away and loaded', async (t) => {
  const { cache, level, load } = stand(t);
  level.stored.set('a', { id: { key: 'a', uri: 'a', group: '' }, text: '{"cut off', ttlMs: 500 });
  t.equal(await load('a'), 'value of a');
  await settled();
  t.ok(level.log.includes('delete a'));
  t.match(cache.statistics().secondLevel, { hits: 0, misses: 1, state: 'up' });
});

t.test('down: the call goes on, it is said once, and not asked again before a second has passed', async (t) => {
  const { cache, level, time, load, said } = stand(t);
  level.trouble = 'fails';
  t.equal(await load('a'), 'value of a');
  t.equal(await load('b'), 'value of b');
  t.equal(await load('c'), 'value of c');
  t.same(level.log, ['get a']);
  t.same(said, [`${DOWN}ECONNREFUSED`]);
  t.match(cache.statistics().secondLevel, { state: 'down', failures: 1, skipped: 2, timeouts: 0, stored: 0 });
  t.equal(await load('a', 'other'), 'value of a', 'the first level goes on');
  for (const [afterMs, asked] of [
    [999, 1],
    [1, 2],
    [1_999, 2],
    [1, 3],
    [4_000, 4],
    [8_000, 5],
    [16_000, 6],
    [30_000, 7],
    [29_999, 7],
    [1, 8],
  ] as const) {
    await time.pass(afterMs);
    t.equal(level.log.length, asked, `less and less often: ${afterMs}`);
  }
  t.equal(said.length, 1, 'said once, however often it fails');
  level.trouble = 'none';
  await time.pass(30_000);
  t.same(said.slice(1), ['the second level of the cache answers again']);
  t.equal(cache.statistics().secondLevel?.state, 'up', 'healed by itself, with no call');
  await load('d');
  await settled();
  t.ok(level.stored.has('d'));
  level.trouble = 'fails';
  await load('e');
  t.equal(said.length, 3, 'down again is said again');
});

t.test('slow: the call goes on after the time-out', async (t) => {
  const { cache, level, time, load, said } = stand(t);
  level.trouble = 'hangs';
  const loading = load('a');
  await time.pass(249);
  t.equal(cache.statistics().loads, 0);
  await time.pass(1);
  t.equal(await loading, 'value of a');
  t.same(said, [`${DOWN}reading took longer than 250 ms`]);
  t.match(cache.statistics().secondLevel, { timeouts: 1, failures: 0, state: 'down' });
});

t.test('while it connects for the first time calls go on, and nothing is wrong', async (t) => {
  const { cache, level, time, load, said } = stand(t);
  const connection = gate<undefined>();
  level.connection = connection.passed;
  const loading = load('a');
  await time.pass(249);
  t.equal(cache.statistics().loads, 0);
  await time.pass(1);
  t.equal(await loading, 'value of a');
  t.same(said, []);
  t.same(level.log, []);
  t.match(cache.statistics().secondLevel, { state: 'up', skipped: 1, timeouts: 0, failures: 0 });
  const second = load('b');
  connection.open(undefined);
  t.equal(await second, 'value of b');
  t.same(level.log.slice(0, 1), ['get b']);
  level.connection = Promise.reject(new Error('ECONNREFUSED'));
  level.connection.catch(() => undefined);
  await load('c');
  t.same(said, [`${DOWN}ECONNREFUSED`]);
});

t.test('what was to be replaced there, and was not, is not read any more', async (t) => {
  const { cache, level, time, load } = stand(t);
  await load('a', 'old');
  await settled();
  level.trouble = 'refuses writes';
  t.equal(cache.set('a', 'new'), true);
  await settled();
  t.notOk(level.stored.has('a'), 'rather nothing than the old one');
  level.trouble = 'none';
  await load('b', 'old');
  await settled();
  level.trouble = 'fails';
  await load('c');
  cache.set('b', 'new');
  t.equal(cache.statistics().secondLevel?.pendingInvalidations, 1);
  level.trouble = 'none';
  await time.pass(1_000);
  t.notOk(level.stored.has('b'), 'made up for, too');
  await load('d', 'old');
  await settled();
  t.equal(cache.set('d', 'new', { ttlMs: 0 }), false);
  await settled();
  t.notOk(level.stored.has('d'), 'not to be kept: not there either');
});

t.test('one that takes no entries is still read, and says so once', async (t) => {
  const { cache, level, load, said } = stand(t);
  level.trouble = 'refuses writes';
  await load('a');
  await settled();
  await load('b');
  await settled();
  t.same(said, ['the second level of the cache takes no entries: OOM']);
  t.match(cache.statistics().secondLevel, { state: 'up', failures: 2, misses: 2 });
});

t.test('invalidated while it is loaded: it is stored in neither level', async (t) => {
  const { cache, level } = stand(t);
  const answer = gate<string>();
  const loading = cache.load('a', () => answer.passed);
  await settled();
  // By another replica that this one has not heard yet.
  level.epoch++;
  answer.open('old');
  t.equal(await loading, 'old');
  await settled();
  t.equal(level.stored.size, 0);
  t.match(cache.statistics().secondLevel, { refused: 1, stored: 0 });
});

t.test('an invalidation reaches the second level', async (t) => {
  const { cache, level, load } = stand(t);
  await load('a');
  await load('b');
  await settled();
  t.same(await cache.invalidate({ key: 'a' }), { entries: 1, secondLevel: 'done' });
  t.same([...level.stored.keys()], ['b']);
  t.equal(await load('a', 'new'), 'new');
});

t.test('until the second level is rid of it, it is not asked for it', async (t) => {
  const { cache, level, load } = stand(t);
  await load('a');
  await settled();
  level.trouble = 'hangs';
  const invalidating = cache.invalidate({ pattern: '{x}' });
  level.trouble = 'none';
  t.equal(await load('a', 'new'), 'new', 'not the old one that is still there');
  t.equal(cache.statistics().secondLevel?.pendingInvalidations, 1);
  t.ok(level.stored.has('a'));
  t.match(cache.statistics().secondLevel, { skipped: 1, hits: 0, stored: 1 });
  void invalidating;
});

t.test('what was invalidated while it was down is made up for before it is believed again', async (t) => {
  const { cache, level, time, load } = stand(t);
  await load('a');
  await load('b');
  await settled();
  level.trouble = 'fails';
  t.same(await cache.invalidate({ key: 'a' }), { entries: 1, secondLevel: 'pending' });
  t.same(await cache.invalidate({ key: 'b' }), { entries: 1, secondLevel: 'pending' });
  t.equal(cache.statistics().secondLevel?.pendingInvalidations, 2);
  t.same([...level.stored.keys()], ['a', 'b']);
  level.trouble = 'none';
  level.log.length = 0;
  await time.pass(1_000);
  t.same(level.log, ['invalidate {"any":[{"key":"a"},{"key":"b"}]}', 'get probe'], 'in one search');
  t.equal(level.stored.size, 0);
  t.match(cache.statistics().secondLevel, { state: 'up', pendingInvalidations: 0 });
});

t.test('of very many invalidations while it is down, one of everything is left', async (t) => {
  const { cache, level, time } = stand(t);
  level.trouble = 'fails';
  for (let index = 0; index < 1_002; index++) await cache.invalidate({ key: String(index) });
  t.equal(cache.statistics().secondLevel?.pendingInvalidations, 1);
  level.trouble = 'none';
  level.log.length = 0;
  await time.pass(1_000);
  t.equal(level.log[0], 'invalidate {"all":true}');
});

t.test('what others invalidate is out of memory, and of the loads under way', async (t) => {
  const { cache, level, load } = stand(t);
  await load('file:///a');
  await load('file:///b');
  const events: object[] = [];
  cache.on('invalidated', (event) => events.push(event));
  const answer = gate<string>();
  const loading = cache.load('file:///c', () => answer.passed);
  await settled();
  level.hear({ pattern: 'file:///{x}' });
  t.match(events, [{ key: 'file:///b', from: 'elsewhere', by: { pattern: 'file:///{x}' } }, { key: 'file:///a' }]);
  answer.open('old');
  await loading;
  t.equal(cache.get('file:///c'), undefined);
});

t.test('what is set goes to both levels; closing closes both', async (t) => {
  const { cache, level, time } = stand(t);
  t.equal(cache.set('a', { x: 1 }, { ttlMs: 5_000 }), true);
  await settled();
  t.match(level.stored.get('a'), { text: '{"x":1}', ttlMs: 5_000 });
  level.trouble = 'fails';
  await cache.load('b', () => 'b');
  await cache.close();
  t.equal(level.closed, true);
  t.equal(time.pending, 0, 'nor does it try again');
});

t.test('what is on its way when it is closed is no failure', async (t) => {
  const { cache, level, said, load } = stand(t);
  level.trouble = 'refuses writes';
  await load('a');
  await cache.close();
  await settled();
  t.ok(level.log.some((line) => line.startsWith('set a')));
  t.same(said, []);
});

t.test('a storm of invalidations is one search after another, each for all that wait', async (t) => {
  const { cache, level, load } = stand(t);
  for (const key of ['a', 'b', 'c', 'd']) await load(key);
  await settled();
  level.log.length = 0;
  const outcomes = ['a', 'b', 'b', 'c'].map((key) => cache.invalidate({ key }));
  t.same(
    (await Promise.all(outcomes)).map(({ secondLevel }) => secondLevel),
    ['done', 'done', 'done', 'done'],
  );
  t.same(level.log, ['invalidate {"key":"a"}', 'invalidate {"any":[{"key":"b"},{"key":"c"}]}']);
  t.same([...level.stored.keys()], ['d']);
  t.equal(cache.statistics().secondLevel?.pendingInvalidations, 0);
});

t.test('more invalidations than are kept become one of everything, and all hear of its end', async (t) => {
  const { cache, level, load } = stand(t);
  await load('far away');
  await settled();
  const outcomes = Array.from({ length: 1_500 }, (_, index) => cache.invalidate({ key: `k${index}` }));
  t.ok((await Promise.all(outcomes)).every(({ secondLevel }) => secondLevel === 'done'));
  t.ok(level.log.includes('invalidate {"all":true}'), String(level.log.at(-1)).slice(0, 100));
  t.equal(level.stored.size, 0);
});

t.test('what is for the first level only is neither looked for in the second nor stored there', async (t) => {
  const { cache, level } = stand(t, { ttlMs: 120_000 });
  t.match(await cache.loadEntry('a', () => 'mine', { firstLevelOnly: true }), {
    value: 'mine',
    from: 'loader',
    freshMs: 120_000,
  });
  await settled();
  t.same(level.log, []);
  t.equal(Math.round((cache.info('a')?.expiresMs ?? 0) - (cache.info('a')?.createdMs ?? 0)), 120_000);
});

t.test('how long an entry is still good for, wherever it is', async (t) => {
  const { cache, level, time, load } = stand(t);
  await load('a');
  await time.pass(20_000);
  t.match(cache.find('a'), { from: 'first_level', freshMs: 880_000 }, 'though the first level drops it sooner');
  level.stored.set('b', { id: { key: 'b', uri: 'b', group: '' }, text: '"shared"', ttlMs: 70_000 });
  t.match(await cache.loadEntry('b', () => 'x'), { value: 'shared', from: 'second_level', freshMs: 70_000 });
  t.equal(cache.find('nothing'), null);
  t.equal(cache.statistics().misses, 2, 'finding nothing is no miss');
});
