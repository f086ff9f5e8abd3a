import t from 'tap';
import { chooseVictim, hasLimits, limitsOfContext, sumReadings } from '../../../lib/core/budget.ts';
import type { BudgetResource, Candidate, ContextRule } from '../../../lib/core/budget.ts';
import { GONE, measured, unsupported } from '../../../lib/core/usage.ts';
import type { Reading } from '../../../lib/core/usage.ts';
import { limitOf } from './policy-fixture.ts';

function rule(name: string, limits: Partial<Record<BudgetResource, number | null>>): ContextRule {
  const resolved = Object.entries(limits).map(([resource, limit]) => [
    resource,
    limit === null ? null : limitOf(resource as BudgetResource, limit),
  ]);
  return { name, limits: Object.fromEntries(resolved) as ContextRule['limits'] };
}

t.test('which limits hold for a context', (t) => {
  const rules = [
    rule('ci-*', { memory: 20, tasks: null }),
    rule('default', { memory: 10, tasks: 11, sockets: 12 }),
    rule('*-nightly', { memory: 30, cpu: 33 }),
    rule('ci-7', { memory: 40 }),
  ];
  const table: readonly (readonly [string, Partial<Record<BudgetResource, number | null>>])[] = [
    ['anything', { memory: 10, tasks: 11, sockets: 12, cpu: null }],
    ['ci-8', { memory: 20, tasks: null, sockets: 12, cpu: null }],
    ['ci-7', { memory: 40, tasks: null, sockets: 12, cpu: null }],
    ['ci-8-nightly', { memory: 20, tasks: null, cpu: 33 }],
    ['web-nightly', { memory: 30, tasks: 11, cpu: 33 }],
    ['ci', { memory: 10 }],
    ['default', { memory: 10 }],
  ];
  for (const [id, wanted] of table) {
    const found = limitsOfContext(id, rules);
    for (const [resource, limit] of Object.entries(wanted))
      t.equal(found[resource as BudgetResource]?.limit ?? null, limit, `${id}: ${resource}`);
    t.equal(found.runtime, null, `${id}: there is no runtime to share`);
  }
  t.equal(hasLimits(limitsOfContext('x', [rule('y*', { memory: 1 })])), false);
  t.equal(hasLimits(limitsOfContext('x', [])), false);
  t.end();
});

t.test('patterns', (t) => {
  const table: readonly (readonly [string, string, boolean])[] = [
    ['*', 'x', true],
    ['a*c', 'abc', true],
    ['a*c', 'ac', true],
    ['a*c', 'abcd', false],
    ['*b*', 'abc', true],
    ['a**', 'a', true],
    ['*a', 'baa', true],
    ['a.c*', 'abc', false],
    ['a*b', 'a*b', true],
    [`${'*a'.repeat(60)}b`, 'a'.repeat(256), false],
  ];
  for (const [pattern, id, wanted] of table)
    t.equal(hasLimits(limitsOfContext(id, [rule(pattern, { memory: 1 })])), wanted, `${pattern} ${id}`);
  t.end();
});

t.test('what runs use together', (t) => {
  const table: readonly (readonly [string, readonly Reading[], unknown])[] = [
    ['nothing', [], { kind: 'unsupported', reason: 'no run has been read yet' }],
    [
      'the sum, as old as the oldest',
      [measured(1, 'cgroup', 900), measured(2, 'cgroup', 800)],
      { value: 3, quality: 'cgroup', atMs: 800 },
    ],
    ['the worst quality', [measured(1, 'cgroup', 900), measured(2, 'pss', 900)], { value: 3, quality: 'pss' }],
    ['a lower bound', [measured(1, 'cgroup', 900), unsupported('why')], { value: 1, quality: 'estimate' }],
    ['an ended one uses nothing', [measured(1, 'cgroup', 900), GONE], { value: 1, quality: 'cgroup' }],
    ['none can be read', [unsupported('why'), GONE], { kind: 'unsupported', reason: 'why' }],
    [
      'a stale one counts, but says no time',
      [measured(1, 'cgroup', 100), measured(2, 'cgroup', 900)],
      { value: 3, atMs: 900 },
    ],
    ['all stale', [measured(1, 'cgroup', 100), measured(2, 'cgroup', 200)], { value: 3, atMs: 100 }],
    ['inodes', [{ ...measured(1, 'exact', 900), inodes: 5 }, measured(2, 'exact', 900)], { value: 3, inodes: 5 }],
  ];
  for (const [name, readings, wanted] of table) t.match(sumReadings(readings, 1_000, 500), wanted as object, name);
  t.notOk('inodes' in sumReadings([measured(1, 'exact', 900)], 1_000, 500));
  t.end();
});

function run(id: string, usage: number | null, extra: Partial<Candidate> = {}): Candidate {
  return { run: id, usage, isShared: false, ratio: null, startedMs: 0, ...extra };
}

t.test('who goes', (t) => {
  const table: readonly (readonly [string, readonly Candidate[], string | null])[] = [
    ['nobody', [], null],
    ['the largest, where none has a limit of its own', [run('a', 10), run('b', 50), run('c', 40)], 'b'],
    [
      'who is highest against its own limit',
      [run('a', 50, { ratio: 0.5 }), run('b', 45, { ratio: 0.9 }), run('c', 5)],
      'b',
    ],
    ['but not one whose end would change nothing', [run('a', 50, { ratio: 0.5 }), run('b', 2, { ratio: 1.4 })], 'a'],
    ['exactly an even part is enough', [run('a', 50, { ratio: 0.1 }), run('b', 50, { ratio: 0.2 })], 'b'],
    ['an unshared one before a shared one', [run('a', 90, { isShared: true, ratio: 2 }), run('b', 60)], 'a'],
    ['of those that hold much', [run('a', 60, { isShared: true, ratio: 2 }), run('b', 60), run('c', 6)], 'b'],
    ['the larger', [run('a', 50, { ratio: 1 }), run('b', 60, { ratio: 1 })], 'b'],
    ['the younger', [run('a', 50, { startedMs: 5 }), run('b', 50, { startedMs: 4 })], 'a'],
    ['the first id', [run('b', 50), run('a', 50)], 'a'],
    ['not who cannot be read', [run('a', null, { ratio: 9 }), run('b', 1)], 'b'],
    ['nobody holds anything', [run('a', 0), run('b', null)], null],
  ];
  for (const [name, candidates, wanted] of table) {
    t.equal(chooseVictim(candidates, 100)?.run ?? null, wanted, name);
    t.equal(chooseVictim(candidates.toReversed(), 100)?.run ?? null, wanted, `${name}, whatever their order`);
  }
  t.end();
});
