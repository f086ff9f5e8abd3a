/** The same with the tuning programs under a real daemon. */

import { runBench } from '../support/bench.ts';
import { tuningPrograms } from './programs.ts';
import { watchPrograms } from './watch-programs.ts';

await runBench('leaks-tuning', 'Tuning programs under a real daemon.', async (bench) => {
  const seen = await watchPrograms(bench, tuningPrograms(bench.rounds(4)));
  bench.table(
    'by program',
    seen.map(({ trial, suspected, suspectedMs, mannKendall, leastSquares, died }) => ({
      program: trial.name,
      leaks: trial.leaks ?? '',
      rate: trial.rate,
      suspected: suspected.join(' '),
      seconds: suspectedMs === null ? '' : suspectedMs / 1000,
      'Mann-Kendall': mannKendall,
      'least squares': leastSquares,
      died,
    })),
  );
});
