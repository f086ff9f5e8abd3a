/** What the figure of bench:leaks stands on: that nothing held out has changed, and that its bound is right. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DEFAULT_LEAK_SETTINGS } from '../../../lib/core/leak.ts';
import { LEAST_RISE } from '../../../lib/core/leak-text.ts';
import { LEAK_RESOURCES } from '../../../lib/core/leak-test.ts';
import { evaluate } from '../../bench/leaks/evaluate.ts';
import { verdictOf } from '../../bench/leaks/judged.ts';
import { leastRise, USUAL_PACE } from '../../bench/leaks/operating-point.ts';
import { heldOutTrials, seriesOf } from '../../bench/leaks/trials.ts';
import { lowerBound, upperBound } from '../../bench/support/proportion.ts';
import { projectRoot } from '../../helpers/project-root.ts';

t.test('what is held out is as it was committed before there was a detector', async (t) => {
  const frozen = JSON.parse(readFileSync(join(projectRoot, 'test/bench/leaks/frozen.json'), 'utf8')) as object;
  for (const [file, digest] of Object.entries(frozen))
    t.equal(
      createHash('sha256')
        .update(readFileSync(join(projectRoot, file)))
        .digest('hex'),
      digest,
      file,
    );
});

t.test('the operating point of the bench is that of the product', async (t) => {
  const { warmUpMs, windowMs } = USUAL_PACE;
  t.same({ warmUpMs, windowMs }, DEFAULT_LEAK_SETTINGS);
  for (const resource of LEAK_RESOURCES) {
    const { amount, share } = LEAST_RISE[resource];
    t.equal(leastRise(resource, 0), amount, resource);
    t.equal(leastRise(resource, 2 ** 40), Math.max(amount, share * 2 ** 40), resource);
  }
});

t.test('a wrong resource is wrong, also beside the right one', async (t) => {
  const [memory, files] = [
    { resource: 'memory', atMs: 1 },
    { resource: 'temp_storage', atMs: 2 },
  ];
  t.equal(verdictOf('temp_storage', [files]), files);
  t.equal(verdictOf('temp_storage', [memory, files]), null);
  t.equal(verdictOf('temp_storage', [files, memory]), null);
  t.equal(verdictOf('temp_storage', []), null);
  t.equal(verdictOf(null, [memory, files]), memory);
  t.equal(verdictOf(null, []), null);
});

t.test('Clopper and Pearson: published values', async (t) => {
  t.ok(Math.abs(lowerBound(299, 299) - 0.05 ** (1 / 299)) < 1e-9);
  t.ok(Math.abs(lowerBound(95, 100) - 0.8977) < 1e-4);
  t.ok(Math.abs(upperBound(0, 300) - (1 - 0.05 ** (1 / 300))) < 1e-9);
  t.same([lowerBound(0, 10), upperBound(10, 10)], [0, 1]);
});

t.test('gate: every third held-out model; the bound of the accuracy, not its estimate', async (t) => {
  const trials = heldOutTrials().filter(({ index }) => index % 3 === 0);
  const right = trials.filter((trial) => {
    const { suspectedMs } = evaluate(trial.family.resource, seriesOf(trial), USUAL_PACE);
    return (suspectedMs !== null) === trial.family.leaking;
  }).length;
  t.ok(lowerBound(right, trials.length) > 0.95, `${right} of ${trials.length}`);
});
