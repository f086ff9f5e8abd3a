import t from 'tap';
import {
  cleanupDepth,
  forgiven,
  isPossible,
  nextStrategy,
  noted,
  STRATEGIES,
  successRate,
  type Strategy,
  type StrategyChoice,
  type StrategyRecord,
} from '../../../lib/core/recovery-strategy.ts';

const ALL: StrategyChoice = { canDegrade: true, canDemand: true, budget: 5 };

const OUTCOMES = { s: 'succeeded', f: 'failed', G: 'gave_up' } as const;

/** `sffGf`: how its recoveries went, oldest first, and when the budget was spent. */
function record(history: string): StrategyRecord {
  const [first, ...rest] = history.split('').map((sign) => OUTCOMES[sign as keyof typeof OUTCOMES]);
  return rest.reduce((made, outcome) => noted(made, outcome), noted(undefined, first ?? 'failed'));
}

t.test('what became of recoveries is counted, and the last ten are known by themselves', async (t) => {
  t.strictSame(record('f'), { succeeded: 0, failed: 1, gaveUp: 0, failedInARow: 1, gaveUpInARow: 0, recent: 'f' });
  t.strictSame(record('ffsff'), {
    succeeded: 1,
    failed: 4,
    gaveUp: 0,
    failedInARow: 2,
    gaveUpInARow: 0,
    recent: 'ffsff',
  });
  t.strictSame(record('fffffffffffs').recent, 'fffffffffs');
  t.strictSame(
    noted(record('sf'), 'gave_up'),
    { ...record('sf'), gaveUp: 1, gaveUpInARow: 1 },
    'to give up is no recovery',
  );
  t.strictSame(record('fGs'), { ...record('fs'), gaveUp: 1 }, 'a success ends that row too');
  t.equal(successRate(record('sssf')), 0.75);
  t.equal(successRate(noted(undefined, 'gave_up')), null);
  t.strictSame(forgiven(record('sfffG')), {
    succeeded: 1,
    failed: 3,
    gaveUp: 1,
    failedInARow: 0,
    gaveUpInARow: 0,
    recent: '',
  });
});

t.test('a strategy that keeps failing is replaced by the next that is possible', async (t) => {
  const cases: readonly (readonly [Strategy, string, Partial<StrategyChoice>, Strategy | null])[] = [
    ['restart', 'f', {}, null],
    ['restart', 'ff', {}, null],
    ['restart', 'fff', {}, 'degrade'],
    ['restart', 'ffffffffffffff', { canDegrade: false }, null],
    ['restart', 'fffffG', { canDegrade: false }, 'restart-on-demand'],
    ['restart', 'ffG', { canDegrade: false }, null],
    ['restart', 'ffGf', { canDegrade: false }, 'restart-on-demand'],
    ['restart', 'ffGfsfff', { canDegrade: false }, null],
    ['restart', 'fff', { canDegrade: false, canDemand: false }, null],
    ['restart', 'ffsff', {}, null],
    ['restart', 'fsffsffsff', {}, 'degrade'],
    ['restart', 'fsfsfsfsff', {}, null],
    ['restart', 'fsffsffsf', {}, null],
    ['degrade', 'ffffff', {}, null],
    ['degrade', 'fGff', {}, 'restart-on-demand'],
    ['degrade', 'fsffsffsff', {}, null],
    ['degrade', 'fff', { canDemand: false }, null],
    ['degrade', 'ffffffffff', { canDemand: false }, 'stop'],
    ['restart', 'fffffffff', { canDegrade: false, canDemand: false }, null],
    ['restart', 'ffffffffff', { canDegrade: false, canDemand: false, budget: 10 }, null],
    ['restart', 'fffffffffff', { canDegrade: false, canDemand: false, budget: 10 }, 'stop'],
    ['restart-on-demand', 'ffffffffffffffffffff', {}, null],
    ['stop', 'ffffffffffff', {}, null],
  ];
  for (const [strategy, history, choice, expected] of cases)
    t.equal(
      nextStrategy(strategy, record(history), { ...ALL, ...choice })?.strategy ?? null,
      expected,
      `${strategy} ${history} ${JSON.stringify(choice)}`,
    );
  t.equal(nextStrategy('restart', record('fff'), ALL)?.why, 'the last 3 recoveries by restart failed');
  t.equal(nextStrategy('restart', record('fsffsffsff'), ALL)?.why, '7 of the last 10 recoveries by restart failed');
  t.equal(nextStrategy('degrade', forgiven(record('ffffffG')), ALL), null, 'what was mended has another go');
});

t.test('which are possible, and how deep each cleans up', async (t) => {
  const none = { canDegrade: false, canDemand: false, budget: 5 };
  t.strictSame(
    STRATEGIES.map((strategy) => [
      strategy,
      isPossible(strategy, ALL),
      isPossible(strategy, none),
      cleanupDepth(strategy),
    ]),
    [
      ['restart', true, true, 'run'],
      ['degrade', true, false, 'spares'],
      ['restart-on-demand', true, false, 'spares'],
      ['stop', true, true, 'all'],
    ],
  );
});
