/** How well leaks are told from what only looks like one. See README.md and leaks/README.md. */

import { LEAK_TEST } from '../../lib/core/leak-test.ts';
import { changedSince, DETECTOR, FROZEN } from './leaks/frozen.ts';
import { RUN, SETS, setsOf } from './leaks/sets.ts';
import { runBench } from './support/bench.ts';

await runBench(
  'leaks',
  `Processes of families that were committed before the detector was run on them and not used to tune it (leaks/README.md). Models:
  series as sampling yields them at the usual pace, a sample a second, warm-up 5 min, window 30 min, 3 windows. Real
  programs under a real daemon. Fast pace: a sample each 100 ms, warm-up 15 s, window 60 s, 2 windows; what is known of these programs by now is
  no longer blind. Slow pace: a sample a second, warm-up 60 s, window 4 min, 2 windows; a program that was not what its family says, by its own
  account, V8 and the kernel, is not counted. A leak is found when its resource, and none beside it but what it entails by its mechanism, is
  suspected before the end of its trial; a benign process counts as wrong when anything of it ever is. Aim: the lower 95 % bound of
  the accuracy on as many leaking as benign ones above 99 %. Beside it, on the same data: Mann-Kendall alone
  (p < 0.05) and least squares (R² > 0.8) on 60 means of what comes after the warm-up.`,
  async (bench) => {
    const sets = setsOf(bench.own('only'));
    if (sets === null) throw new Error(`--only=${bench.own('only') ?? ''}: one or more of ${SETS.join(', ')}`);
    bench.parameter('sets', sets.join(', '));
    bench.parameter('detector', JSON.stringify(LEAK_TEST));
    const changed = FROZEN.flatMap(changedSince);
    bench.check('what is held out is as it was committed', changed.length === 0, changed.join(', '));
    const since = changedSince(DETECTOR);
    bench.check('the detector is as it was when the slow set was committed', since.length === 0, since.join(', '));
    for (const set of sets) await RUN[set](bench);
    bench.notMeasured(
      'traces of others (lf-edge/eve, ESO)',
      'their data is not part of this repository; the families here are its own',
    );
  },
  ['only'],
);
