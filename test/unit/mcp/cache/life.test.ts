/** How long an answer is kept, and for whom: as a table. */

import t from 'tap';
import { UriPatterns } from '../../../../lib/core/uri-patterns.ts';
import { canLive, lifeOf, livesByNotice, mayBePublic } from '../../../../lib/mcp/cache/life.ts';
import type { Grounds, Life } from '../../../../lib/mcp/cache/life.ts';
import type { CachePattern } from '../../../../lib/supervisor/governor.ts';
import type { Fields } from '../../../../lib/mcp/wire/message.ts';

const pattern = (ttlMs: number | null, scope: CachePattern['scope'] = null): Grounds['pattern'] =>
  new UriPatterns([['a', { uri: 'a', ttlMs, scope }]]).match('a');

const grounds = (given: Partial<Grounds>): Grounds => ({
  era: 'modern',
  pattern: null,
  toolTtlMs: null,
  defaultTtlMs: 900_000,
  isSubscribed: false,
  ...given,
});

const PUBLIC: Fields = { ttlMs: 5_000, cacheScope: 'public' };
const PRIVATE: Fields = { ttlMs: 5_000, cacheScope: 'private' };
/** What servers send that say nothing of it. */
const UNSAID: Fields = { ttlMs: 0, cacheScope: 'private' };
const DAY = 86_400_000;

t.test('how long, and for whom', async (t) => {
  const life = (ttlMs: number, scope: Life['scope'] = 'caller'): Life => ({ ttlMs, scope });
  for (const [what, given, result, expected] of [
    ['the server says so', {}, PUBLIC, life(5_000, 'public')],
    ['to its caller', {}, PRIVATE, life(5_000)],
    ['to nobody in particular', {}, { ttlMs: 5_000 }, life(5_000)],
    ['not at all', {}, UNSAID, null],
    ['nothing', {}, {}, null],
    ['nonsense', {}, { ttlMs: '5', cacheScope: 'public' }, null],
    ['a negative time', {}, { ttlMs: -1, cacheScope: 'public' }, null],
    ['years', {}, { ttlMs: 1e12 }, life(DAY)],
    ['no number', {}, { ttlMs: Number.NaN }, null],
    ['a question', {}, { ...PUBLIC, resultType: 'input_required' }, null],
    ['what nobody here knows', {}, { ...PUBLIC, resultType: 'other' }, null],
    ['a task', {}, { ...PUBLIC, task: { taskId: '1' } }, null],
    ['whole', {}, { ...PUBLIC, resultType: 'complete' }, life(5_000, 'public')],
    ['a pattern wins over the server', { pattern: pattern(1_000) }, PUBLIC, life(1_000, 'public')],
    ['also over one that says nothing', { pattern: pattern(1_000) }, UNSAID, life(1_000)],
    ['for its default time', { pattern: pattern(null) }, PUBLIC, life(900_000, 'public')],
    ['for all', { pattern: pattern(1_000, 'public') }, PRIVATE, life(1_000, 'public')],
    ['for one', { pattern: pattern(1_000, 'caller') }, PUBLIC, life(1_000)],
    ['for none', { pattern: pattern(0) }, PUBLIC, null],
    ['the tool where the server says nothing', { toolTtlMs: 2_000 }, UNSAID, life(2_000)],
    ['and not where it does', { toolTtlMs: 2_000 }, PRIVATE, life(5_000)],
    ['a modern server has hints, subscribed or not', { isSubscribed: true }, UNSAID, null],
    ['an older server has none', { era: 'legacy' }, PUBLIC, null],
    ['but the tool may', { era: 'legacy', toolTtlMs: 2_000 }, PUBLIC, life(2_000)],
    ['and the pattern', { era: 'legacy', pattern: pattern(1_000, 'public') }, {}, life(1_000, 'public')],
    ['and who is told of changes', { era: 'legacy', isSubscribed: true }, {}, life(900_000)],
    ['unless the pattern says no', { era: 'legacy', isSubscribed: true, pattern: pattern(0) }, {}, null],
  ] as readonly (readonly [string, Partial<Grounds>, Fields, Life | null])[]) {
    t.same(lifeOf(grounds(given), result), expected, what);
    if (expected !== null) t.ok(canLive(grounds(given)), `${what}: is looked up`);
    if (expected?.scope === 'public') t.ok(mayBePublic(grounds(given)), `${what}: is looked up for all`);
  }
});

t.test('what can never be kept is not looked up', async (t) => {
  t.notOk(canLive(grounds({ era: 'legacy' })));
  t.notOk(canLive(grounds({ pattern: pattern(0) })));
  t.notOk(mayBePublic(grounds({ era: 'legacy', toolTtlMs: 1 })));
  t.notOk(mayBePublic(grounds({ pattern: pattern(1, 'caller') })));
});

t.test('what ends with a subscription', async (t) => {
  t.ok(livesByNotice(grounds({ era: 'legacy', isSubscribed: true })));
  t.notOk(livesByNotice(grounds({ era: 'legacy', isSubscribed: true, toolTtlMs: 1 })));
  t.notOk(livesByNotice(grounds({ era: 'legacy', isSubscribed: true, pattern: pattern(1) })));
  t.notOk(livesByNotice(grounds({ isSubscribed: true })));
});
