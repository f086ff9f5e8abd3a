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

/** `sfff`: how its recoveries went, oldest first. */
function record(history: string): StrategyRecord {
  let made = noted(undefined, history.startsWith('s') ? 'succeeded' : 'failed');
  for (const sign of history.slice(1)) made = noted(made, sign === 's' ? 'succeeded' : 'failed');
  return made;
}

t.test('what became of recoveries is counted, and the last ten are known by themselves', async (t) => {
  t.strictSame(record('f'), { succeeded: 0, failed: 1, gaveUp: 0, failedInARow: 1, recent: 'f' });
  t.strictSame(record('ffsff'), { succeeded: 1, failed: 4, gaveUp: 0, failedInARow: 2, recent: 'ffsff' });
  t.strictSame(record('fffffffffffs').recent, 'fffffffffs');
  t.strictSame(noted(record('sf'), 'gave_up'), { ...record('sf'), gaveUp: 1 }, 'to give up is no recovery');
  t.equal(successRate(record('sssf')), 0.75);
  t.equal(successRate(noted(undefined, 'gave_up')), null);
  t.strictSame(forgiven(record('sfff')), { succeeded: 1, failed: 3, gaveUp: 0, failedInARow: 0, recent: '' });
});

t.test('a strategy that keeps failing is replaced by the next that is possible', async (t) => {
  const cases: readonly (readonly [Strategy, string, Partial<StrategyChoice>, Strategy | null])[] = [
    ['restart', 'f', {}, null],
    ['restart', 'ff', {}, null],
    ['restart', 'fff', {}, 'degrade'],
    ['restart', 'fffff', { canDegrade: false }, null],
    ['restart', 'ffffff', { canDegrade: false }, 'restart-on-demand'],
    ['restart', 'fff', { canDegrade: false, budget: 1 }, 'restart-on-demand'],
    ['restart', 'fffffffff', { canDegrade: false, budget: 9 }, null],
    ['restart', 'fff', { canDegrade: false, canDemand: false }, null],
    ['restart', 'ffsff', {}, null],
    ['restart', 'fsffsffsff', {}, 'degrade'],
    ['restart', 'fsfsfsfsff', {}, null],
    ['restart', 'fsffsffsf', {}, null],
    ['degrade', 'fffff', {}, null],
    ['degrade', 'ffffff', {}, 'restart-on-demand'],
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
  t.equal(nextStrategy('degrade', forgiven(record('ffffff')), ALL), null, 'what was mended has another go');
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
