import t from 'tap';
import { spawnSync } from 'node:child_process';
import { ResourceCache } from '../../../lib/client/resource-cache.ts';
import type { CacheEvent, CacheOptions } from '../../../lib/client/cache-types.ts';
import type { Selector } from '../../../lib/client/cache-selector.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { manualClock, type ManualClock } from '../../helpers/manual-clock.ts';
import { manualTime, settled } from '../../helpers/manual-time.ts';
import { FakeLevel } from '../../helpers/fake-level.ts';
import { gate } from '../../helpers/pool.ts';

interface Stand {
  readonly cache: ResourceCache;
  readonly clock: ManualClock;
  /** `event key`, in order. */
  readonly events: string[];
  readonly warnings: string[];
  /** Loads and counts. */
  load(key: string, value?: unknown): Promise<unknown>;
  readonly loads: string[];
}

function stand(options: CacheOptions = {}, clock: ManualClock = manualClock()): Stand {
  const warnings: string[] = [];
  const events: string[] = [];
  const loads: string[] = [];
  const cache = new ResourceCache({
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    log: { info: () => undefined, warn: (message) => warnings.push(message) },
    ...options,
  });
  for (const name of ['loaded', 'accessed', 'invalidated', 'expired', 'evicted'] as const satisfies CacheEvent[])
    cache.on(name, ({ key }) => events.push(`${name} ${key}`));
  const load = (key: string, value: unknown = `value of ${key}`): Promise<unknown> =>
    cache.load(key, () => {
      loads.push(key);
      return value;
    });
  return { cache, clock, events, warnings, load, loads };
}

t.test('a value is loaded once, and kept for its time', async (t) => {
  const { cache, clock, load, loads, events } = stand({ ttlMs: 1_000 });
  t.equal(cache.get('a'), undefined);
  t.equal(await load('a'), 'value of a');
  t.equal(await load('a', 'another'), 'value of a');
  t.equal(cache.get('a'), 'value of a');
  clock.advance(1_000);
  t.equal(cache.get('a'), 'value of a');
  clock.advance(1);
  t.equal(cache.get('a'), undefined, 'never a moment later');
  t.equal(await load('a', 'another'), 'another');
  t.same(loads, ['a', 'a']);
  t.same(events, ['loaded a', 'accessed a', 'accessed a', 'accessed a', 'expired a', 'loaded a']);
  t.match(cache.statistics(), {
    entries: 1,
    hits: 3,
    misses: 4,
    loads: 2,
    stored: 2,
    expired: 1,
    loading: 0,
    secondLevel: null,
  });
});

t.test('defaults: 15 minutes, 100 entries, 100 MB', async (t) => {
  const { cache, clock, load } = stand();
  t.match(cache.statistics(), { maxEntries: 100, maxBytes: 100_000_000 });
  await load('a');
  clock.advance(900_000);
  t.equal(cache.get('a'), 'value of a');
  clock.advance(1);
  t.equal(cache.get('a'), undefined);
});

t.test('each entry: created, last access, count, size', async (t) => {
  const { cache, clock, load } = stand({ ttlMs: 60_000, patterns: [{ template: 'db://{table}/{row}', ttlMs: 5_000 }] });
  const start = clock.wallMs();
  await load('db://users/7', { name: 'Zoë' });
  clock.advance(1_000);
  cache.get('db://users/7');
  clock.advance(1_000);
  await load('db://users/7');
  t.same(JSON.parse(JSON.stringify(cache.info('db://users/7'))), {
    key: 'db://users/7',
    uri: 'db://users/7',
    group: '',
    createdMs: start,
    lastAccessMs: start + 2_000,
    accessCount: 2,
    expiresMs: start + 5_000,
    bytes: Buffer.byteLength('{"name":"Zoë"}'),
    pattern: { template: 'db://{table}/{row}', parameters: { table: 'users', row: '7' } },
  });
  t.match(cache.info('db://users/7'), { accessCount: 2 }, 'looking does not count');
  t.equal(cache.info('nothing'), null);
  await load('other');
  t.same(
    cache.entries().map(({ key }) => key),
    ['other', 'db://users/7'],
  );
  t.match(cache.info('other'), { pattern: null, expiresMs: start + 62_000 });
});

t.test(
  'the first pattern that matches says for how long; the caller, and who looks at the value, say more',
  async (t) => {
    const { cache, clock, events } = stand({
      ttlMs: 10_000,
      patterns: [
        { template: 'log://live/{+any}', ttlMs: 0 },
        { template: 'log://{+any}', ttlMs: 1_000 },
      ],
    });
    const expiry = async (uri: string, options: Parameters<typeof cache.load>[2] = {}): Promise<number | null> => {
      await cache.load({ key: `${uri} ${JSON.stringify(options)} ${String(options.keep)}`, uri }, () => 'x', options);
      const info = cache.entries()[0];
      const ms = info === undefined ? null : info.expiresMs - info.createdMs;
      await cache.invalidate({ all: true });
      return ms;
    };
    t.equal(await expiry('log://old/1'), 1_000);
    t.equal(await expiry('log://live/1'), null, '0: not kept');
    t.equal(await expiry('file:///x'), 10_000);
    t.equal(await expiry('log://old/1', { ttlMs: 77 }), 77);
    t.equal(await expiry('log://old/1', { ttlMs: 77, keep: () => ({ ttlMs: 5 }) }), 5);
    t.equal(await expiry('log://old/1', { ttlMs: 77, keep: () => ({}) }), 77);
    t.equal(await expiry('log://old/1', { keep: () => 'skip' }), null);
    t.equal(await expiry('x', { ttlMs: Number.NaN }), null);
    t.equal(await expiry('x', { ttlMs: -1 }), null);
    t.ok(((await expiry('x', { ttlMs: Infinity })) ?? 0) > 1e11);
    t.equal(events.filter((event) => event.startsWith('loaded')).length, 10);
    clock.advance(1);
  },
);

t.test('bounds: the least recently used goes first', async (t) => {
  const { cache, load, events } = stand({ maxEntries: 3 });
  for (const key of ['a', 'b', 'c']) await load(key);
  cache.get('a');
  await load('d');
  t.same(
    events.filter((event) => event.startsWith('evicted')),
    ['evicted b'],
  );
  t.match(cache.statistics(), { entries: 3, evicted: 1 });
});

t.test('bounds in bytes: real ones, of all together and of each', async (t) => {
  const { cache, load, events } = stand({ maxBytes: 100 });
  // Quotes are part of JSON; ü takes two bytes.
  await load('a', 'ü'.repeat(24));
  t.equal(cache.statistics().bytes, 50);
  await load('b', 'x'.repeat(48));
  t.equal(cache.statistics().bytes, 100);
  t.equal(cache.statistics().evicted, 0);
  await load('c', 1);
  t.same(
    events.filter((event) => event.startsWith('evicted')),
    ['evicted a'],
  );
  t.equal(cache.statistics().bytes, 51);
  t.equal(await load('huge', 'x'.repeat(99)), 'x'.repeat(99), 'passed through');
  t.equal(cache.get('huge'), undefined, 'and not stored');
  t.match(cache.statistics(), { entries: 2, tooLarge: 1 });
  t.equal(await load('fits', 'x'.repeat(98)), 'x'.repeat(98));
  t.match(cache.statistics(), { entries: 1, bytes: 100 });
  t.equal(cache.set('fits', 'x'.repeat(99)), false);
  t.equal(cache.get('fits'), undefined, 'what was there is older than what did not fit');
});

t.test('what is no JSON is passed through', async (t) => {
  const { cache, load } = stand();
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  for (const [key, value] of [
    ['function', () => 1],
    ['circle', circle],
    ['bigint', 1n],
    ['symbol', Symbol('x')],
  ] as const) {
    t.equal(await load(key, value), value);
    t.equal(cache.info(key), null, key);
  }
  t.equal(await cache.load('undefined', () => undefined), undefined);
  t.match(cache.statistics(), { entries: 0, notJson: 5 });
  for (const value of [null, 0, '', false]) {
    await load(`empty ${JSON.stringify(value)}`, value);
    t.equal(cache.get(`empty ${JSON.stringify(value)}`), value, 'what is empty is a value too');
  }
});

t.test('one load at a time for each key', async (t) => {
  const { cache } = stand();
  const answer = gate<string>();
  let calls = 0;
  const loader = (): Promise<string> => {
    calls++;
    return answer.passed;
  };
  const waiters = [cache.load('a', loader), cache.load('a', loader), cache.load('a', loader)];
  const other = cache.load('b', () => 'b');
  t.equal(await other, 'b', 'another key does not wait');
  t.match(cache.statistics(), { loading: 1, joined: 2 });
  answer.open('once');
  t.same(await Promise.all(waiters), ['once', 'once', 'once']);
  t.equal(calls, 1);
});

t.test('a load that fails: all who wait hear it, and nothing is kept', async (t) => {
  const { cache, load } = stand();
  const failure = new Error('no');
  const waiters = [1, 2].map(() => cache.load('a', async () => Promise.reject(failure)));
  for (const waiter of waiters) await t.rejects(waiter, failure);
  await t.rejects(
    cache.load('a', () => {
      throw failure;
    }),
    failure,
  );
  t.match(cache.statistics(), { failedLoads: 2, entries: 0, loading: 0 });
  t.equal(await load('a'), 'value of a');
});

t.test('invalidated during a load: its waiters get what it brings, nobody after', async (t) => {
  for (const selector of [
    { key: 'a' },
    { uri: 'file:///a' },
    { pattern: 'file:///{name}' },
    { group: 'g' },
    { all: true },
  ] satisfies Selector[]) {
    const { cache } = stand();
    const id = { key: 'a', uri: 'file:///a', group: 'g' };
    const [old, fresh] = [gate<string>(), gate<string>()];
    const before = [cache.load(id, () => old.passed), cache.load(id, () => old.passed)];
    await settled(1);
    void cache.invalidate(selector);
    const after = cache.load(id, () => fresh.passed);
    await settled(1);
    fresh.open('new');
    t.equal(await after, 'new');
    old.open('old');
    t.same(await Promise.all(before), ['old', 'old']);
    t.equal(cache.get('a'), 'new', `${JSON.stringify(selector)}: the late one does not replace the new one`);
    t.match(cache.statistics(), { overtaken: 1, stored: 1, loading: 0 });
  }
});

t.test('what is set during a load is newer than what the load brings', async (t) => {
  const { cache } = stand();
  const old = gate<string>();
  const loading = cache.load('a', () => old.passed);
  t.equal(cache.set('a', 'set', { ttlMs: 5 }), true);
  old.open('old');
  t.equal(await loading, 'old');
  t.equal(cache.get('a'), 'set');
});

t.test('invalidate by key, URI, pattern, group', async (t) => {
  const ids = [
    { key: '1', uri: 'file:///a/x', group: 'g' },
    { key: '2', uri: 'file:///a/y', group: 'g' },
    { key: '3', uri: 'file:///a/x', group: 'h' },
    { key: '4', uri: 'db://käse' },
    { key: 'file:///b' },
  ];
  for (const [selector, gone] of [
    [{ key: '1' }, ['1']],
    [{ key: 'file:///b' }, ['file:///b']],
    [{ uri: 'file:///a/x' }, ['1', '3']],
    [{ uri: 'file:///a/x', group: 'h' }, ['3']],
    [{ uri: 'file:///%61/x', group: 'g' }, ['1']],
    [{ uri: 'db://k%c3%a4se' }, ['4']],
    [{ pattern: 'file:///{+path}' }, ['1', '2', '3', 'file:///b']],
    [{ pattern: 'file:///a/{name}', group: 'g' }, ['1', '2']],
    [{ group: 'g' }, ['1', '2']],
    [{ group: '' }, ['4', 'file:///b']],
    [{ all: true }, ['1', '2', '3', '4', 'file:///b']],
    [{ uri: 'nothing' }, []],
  ] as const satisfies readonly (readonly [Selector, readonly string[]])[]) {
    const { cache, events } = stand();
    for (const id of ids) cache.set(id, id.key);
    const done = cache.invalidate(selector);
    t.same(
      ids.map(({ key }) => key).filter((key) => cache.info(key) === null),
      gone,
      `${JSON.stringify(selector)}, at once`,
    );
    t.same(await done, { entries: gone.length, secondLevel: 'none' });
    t.same(events.sort(), gone.map((key) => `invalidated ${key}`).sort());
    t.equal(cache.statistics().invalidated, gone.length);
  }
  const { cache } = stand();
  for (const bad of [{}, { pattern: '{' }, { key: 7 }] as unknown as Selector[])
    t.throws(() => cache.invalidate(bad), isGovernorError('invalid_request'), JSON.stringify(bad));
});

t.test('a caller that waits no more leaves the others alone; when none waits, the loader is told', async (t) => {
  const { cache } = stand();
  const answer = gate<string>();
  let told: unknown = null;
  const loader = (signal: AbortSignal): Promise<string> => {
    signal.addEventListener('abort', () => (told = signal.reason));
    return answer.passed;
  };
  const [one, two] = [new AbortController(), new AbortController()];
  const first = cache.load('a', loader, { signal: one.signal });
  const second = cache.load('a', loader, { signal: two.signal });
  await settled(1);
  one.abort(new Error('gone'));
  await t.rejects(first, { message: 'gone' });
  t.equal(told, null);
  two.abort(new Error('gone too'));
  await t.rejects(second, { message: 'gone too' });
  t.match(told, { message: 'gone too' });
  const fresh = cache.load('a', () => 'fresh');
  answer.open('too late');
  t.equal(await fresh, 'fresh', 'nobody joins what was given up');
  await settled();
  t.equal(cache.get('a'), 'fresh');
  await t.rejects(
    cache.load('b', () => 'b', { signal: AbortSignal.abort(new Error('before')) }),
    { message: 'before' },
  );
  const patient = cache.load(
    'c',
    async () => {
      await settled();
      return 'c';
    },
    { signal: new AbortController().signal },
  );
  const impatient = new AbortController();
  const left = cache.load('c', () => 'never', { signal: impatient.signal });
  impatient.abort(new Error('left'));
  await t.rejects(left, { message: 'left' });
  t.equal(await patient, 'c');
});

t.test('listeners that throw, reject or listen twice harm nobody', async (t) => {
  const { cache, load, warnings } = stand();
  const heard: string[] = [];
  cache.on('loaded', () => {
    throw new Error('listener');
  });
  cache.on('loaded', async () => Promise.reject(new Error('async listener')));
  const listener = ({ key }: { readonly key: string }): void => void heard.push(key);
  const off = [cache.on('loaded', listener), cache.on('loaded', listener)];
  t.equal(await load('a'), 'value of a');
  await settled(1);
  t.same(heard, ['a', 'a']);
  t.equal(cache.statistics().listenerErrors, 2);
  t.same(warnings, ['a listener of the cache failed: Error: listener'], 'said once');
  off[0]?.();
  off[0]?.();
  await load('b');
  t.same(heard, ['a', 'a', 'b']);
});

t.test('what the events tell', async (t) => {
  const { cache, clock } = stand({ maxBytes: 10 });
  const told: object[] = [];
  cache.on('loaded', (event) => told.push(event));
  await cache.load('a', () => {
    clock.advance(7);
    return 'x';
  });
  await cache.load({ key: 'b', uri: 'u', group: 'g' }, () => 'x'.repeat(20));
  await cache.load('c', () => undefined);
  t.same(told, [
    { key: 'a', uri: 'a', group: '', from: 'loader', bytes: 3, stored: true, durationMs: 7 },
    { key: 'b', uri: 'u', group: 'g', from: 'loader', bytes: 22, stored: false, durationMs: 0 },
    { key: 'c', uri: 'c', group: '', from: 'loader', bytes: null, stored: false, durationMs: 0 },
  ]);
});

t.test('expired entries are swept by a timer, that runs only while there are any', async (t) => {
  const time = manualTime(t);
  const { load, events, cache } = stand({ ttlMs: 30_000 }, time);
  t.equal(time.pending, 0);
  await load('a');
  await time.pass(59_999);
  t.same(events, ['loaded a']);
  await time.pass(1);
  t.same(events, ['loaded a', 'expired a']);
  t.equal(time.pending, 0);
  await load('b');
  await time.pass(40_000);
  cache.sweep();
  t.same(events.slice(2), ['loaded b', 'expired b']);
  await load('c');
  await cache.close();
  t.equal(time.pending, 0);
  t.equal(cache.statistics().entries, 0);
  t.equal(await load('c'), 'value of c', 'goes on without keeping');
  t.equal(cache.get('c'), undefined);
});

t.test('numbers and templates that are none', async (t) => {
  for (const options of [
    { ttlMs: -1 },
    { ttlMs: Number.NaN },
    { maxEntries: 0 },
    { maxEntries: 1.5 },
    { maxBytes: 0 },
    { sweepIntervalMs: 0 },
    { firstLevelTtlMs: 0, secondLevel: new FakeLevel() },
    { secondLevelTimeoutMs: 0, secondLevel: new FakeLevel() },
    { firstLevelTtlMs: 1_000 },
    { secondLevelTimeoutMs: 1_000 },
    { patterns: [{ template: 'a{b', ttlMs: 1 }] },
    { patterns: [{ template: 'a', ttlMs: -1 }] },
  ] satisfies CacheOptions[])
    t.throws(() => new ResourceCache(options), isGovernorError('invalid_request'), JSON.stringify(options));
});

t.test('keeps no process alive; without a second level @redis/client is not loaded', async (t) => {
  const index = new URL('../../../lib/client/index.js', import.meta.url).href;
  const script = `
    import { createRequire } from 'node:module';
    import { ResourceCache, redisLevel } from ${JSON.stringify(index)};
    const cache = new ResourceCache();
    await cache.load('a', () => 1);
    redisLevel({ url: 'redis://127.0.0.1:1' });
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('@redis'));
    console.log(loaded.length);
  `;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 60_000,
    cwd: import.meta.dirname,
  });
  t.match(child, { status: 0, stdout: '0\n', stderr: '' });
});

t.test('what was loaded may be kept under another key of the same URI', async (t) => {
  const { cache } = stand();
  const id = { key: 'shared', uri: 'file:///a', group: 'files' };
  const loaded = await cache.loadEntry(id, () => 'mine', { keep: () => ({ ttlMs: 1_000, as: 'own' }) });
  t.same(loaded, { value: 'mine', from: 'loader', freshMs: 1_000 });
  t.equal(cache.find('shared'), null);
  t.match(cache.info('own'), { key: 'own', uri: 'file:///a', group: 'files' });
  t.equal((await cache.invalidate({ uri: 'file:///a', group: 'files' })).entries, 1);
  const answer = gate<string>();
  const slow = cache.load(id, () => answer.passed, { keep: () => ({ as: 'own' }) });
  await cache.invalidate({ group: 'files' });
  answer.open('old');
  t.equal(await slow, 'old');
  t.equal(cache.find('own'), null, 'not when it was invalidated meanwhile');
});

t.test('a pattern that the caller has matched', async (t) => {
  const { cache } = stand({ patterns: [{ template: '{any}', ttlMs: 1 }] });
  const pattern = { template: 'db://{t}', parameters: { t: 'users' } };
  await cache.load('a', () => 1, { pattern, ttlMs: 5 });
  t.match(cache.info('a'), { pattern });
  await cache.load('b', () => 1, { pattern: null, ttlMs: 5 });
  t.match(cache.info('b'), { pattern: null });
});

t.test('a URI, and what it is a part of', async (t) => {
  const { cache, load } = stand();
  const uris = ['file:///a', 'file:///a/', 'file:///a/b', 'file:///a/bc', 'file:///a/b/c', 'file:///', 'db://a/b'];
  for (const uri of uris) await load(uri);
  const { entries } = await cache.invalidate({ uri: 'file:///a/%62', above: true });
  t.equal(entries, 4);
  t.same(
    cache
      .entries()
      .map(({ uri }) => uri)
      .toSorted(),
    ['db://a/b', 'file:///a/b/c', 'file:///a/bc'],
  );
  t.equal((await cache.invalidate({ any: [{ uri: 'db://a/b' }, { pattern: 'file:///a/{x}' }] })).entries, 2);
});

t.test('loads that are set apart: nobody joins, and one party loads for itself', async (t) => {
  const { cache } = stand();
  const answers = [gate<string>(), gate<string>(), gate<string>()];
  let loads = 0;
  const load = (party: string, more: { isAlone?: () => boolean; signal?: AbortSignal } = {}): Promise<unknown> =>
    cache.load('a', () => answers[loads++]!.passed, { party, ...more });
  const [first, same, other] = [load('x'), load('x'), load('y')];
  await settled();
  t.equal(loads, 1);
  cache.setApart({ key: 'another' }, 'x');
  cache.setApart({ key: 'a' }, 'x');
  await settled();
  t.equal(loads, 2, 'who had joined of x has begun another, and y still waits');
  const late = load('y');
  answers[1]!.open('new');
  t.same([await same, await late], ['new', 'new']);
  t.equal(cache.get('a'), 'new');
  t.equal(cache.statistics().loading, 1);
  answers[0]!.open('old');
  t.same([await first, await other], ['old', 'old']);
  t.equal(cache.get('a'), 'new', 'the older one is not kept');
  t.match(cache.statistics(), { loading: 0, overtaken: 1 });

  await cache.invalidate({ all: true });
  const before = load('x');
  await settled();
  cache.setApart({ all: true }, 'x');
  await cache.invalidate({ key: 'a' });
  answers[2]!.open('stale');
  t.equal(await before, 'stale');
  t.equal(cache.get('a'), undefined, 'nor what was invalidated while it was apart');
});

t.test('who asks alone joins nobody, and takes the place of what is under way', async (t) => {
  const { cache } = stand();
  const answers = [gate<string>(), gate<string>()];
  let loads = 0;
  const gone = new AbortController();
  let told = 0;
  const first = cache.load('a', () => (loads++, answers[0]!.passed));
  const alone = cache.load('a', () => (loads++, answers[1]!.passed), { isAlone: () => true });
  const joined = cache.load('a', () => 'never');
  await settled();
  t.equal(loads, 2);
  answers[1]!.open('second');
  t.same([await alone, await joined], ['second', 'second']);
  answers[0]!.open('first');
  t.equal(await first, 'first');
  t.equal(cache.get('a'), 'second');

  const lonely = cache.load(
    'b',
    (signal) => {
      signal.addEventListener('abort', () => told++);
      return new Promise(() => undefined);
    },
    { signal: gone.signal, party: 'x' },
  );
  const waiter = cache.load('b', () => 'its own', { party: 'x' });
  await settled();
  const rejected = t.rejects(lonely, { message: 'left' });
  gone.abort(new Error('left'));
  await rejected;
  t.equal(told, 0, 'somebody still waits');
  cache.setApart({ all: true }, 'x');
  t.equal(await waiter, 'its own');
  t.equal(told, 1, 'and then nobody does');
});

t.test('other options for a cache that lives', async (t) => {
  const { cache, clock, load, events } = stand({ maxEntries: 10, ttlMs: 1_000 });
  for (const key of ['a', 'b', 'c', 'd']) await load(key);
  cache.get('a');
  await load('large', 'x'.repeat(500));
  events.length = 0;
  const options = { ...at(clock), ttlMs: 5_000, maxEntries: 2, maxBytes: 100 };
  await cache.reconfigure(options);
  t.same(events, ['evicted b', 'evicted c', 'evicted large'], 'what is too large, and what was used longest ago');
  t.same(
    cache.entries().map(({ key }) => key),
    ['a', 'd'],
  );
  t.match(cache.statistics(), { maxEntries: 2, maxBytes: 100, entries: 2, evicted: 3 });
  await load('e');
  t.equal(cache.get('d'), undefined);
  clock.advance(1_001);
  t.equal(cache.get('a'), undefined, 'what is there keeps its time');
  t.equal(cache.get('e'), 'value of e', 'what comes has the new one');
  await t.rejects(cache.reconfigure({ ...options, maxEntries: 0 }), isGovernorError('invalid_request'));
  await t.rejects(cache.reconfigure({ patterns: [{ template: '{', ttlMs: 1 }] }), isGovernorError('invalid_request'));
  t.match(cache.statistics(), { maxEntries: 2 });
});

t.test('another second level, or none', async (t) => {
  const [one, two] = [new FakeLevel(), new FakeLevel()];
  const { cache, clock, load } = stand({ secondLevel: one, firstLevelTtlMs: 60_000 });
  await load('a');
  await settled();
  clock.advance(2_000);
  await cache.reconfigure({ ...at(clock), secondLevel: one, firstLevelTtlMs: 5_000 });
  t.equal(cache.get('a'), 'value of a', 'the same level: what was learned stays');
  t.equal(cache.info('a')?.expiresMs, clock.wallMs() + 3_000, 'for what is left of the new time');
  const answer = gate<string>();
  const slow = cache.load('slow', () => answer.passed);
  await settled();
  await cache.reconfigure({ ...at(clock), secondLevel: two });
  t.equal(cache.get('a'), undefined);
  answer.open('late');
  t.equal(await slow, 'late');
  t.equal(cache.get('slow'), undefined, 'a load of before is not kept');
  t.equal(await load('a', 'anew'), 'anew');
  await settled();
  t.equal(cache.statistics().secondLevel?.stored, 1);
  one.hear({ all: true });
  t.equal(cache.get('a'), 'anew', 'the former one is not listened to');
  two.hear({ key: 'a' });
  t.equal(cache.get('a'), undefined);
  await cache.reconfigure(at(clock));
  t.equal(cache.statistics().secondLevel, null);
});

function at(clock: ManualClock): Pick<CacheOptions, 'monotonicMs' | 'wallMs' | 'log'> {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    log: { info: () => undefined, warn: () => undefined },
  };
}
