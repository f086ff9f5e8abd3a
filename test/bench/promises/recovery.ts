/** The fifth promise: whether a tool that failed comes back, and one that cannot is given up. */

import { type RunningDaemon, startDaemon } from '../../helpers/daemon.ts';
import { pause } from '../../helpers/wait-for.ts';
import { Oracle } from './ask.ts';
import { answersOnce, ASK_MS, givesUp, type Recovered, recovers, registered } from './recovery-episode.ts';
import { episodesOf, PERMANENT, RECOVERABLE } from './recovery-faults.ts';
import { quantileTime, share, type Stand, type Stated } from './stated.ts';

export async function recovery(stand: Stand): Promise<readonly Stated[]> {
  const { bench, containment, trials, short, table } = stand;
  const stableMs = short ? 5_000 : 60_000;
  const recovered: Recovered[] = [];
  const givenUp: Recovered[] = [];
  const sibling = { calls: 0, missed: 0 };
  const kinds = episodesOf(RECOVERABLE);
  // As many permanent ones, or in a short run as few as are needed to see each.
  const lasting = short ? episodesOf(PERMANENT) : [1, 2, 3].flatMap(() => episodesOf(PERMANENT));
  const oracle = new Oracle(bench);
  while (recovered.length < trials) {
    const daemon = await startDaemon(bench, {
      backend: containment,
      config: { daemon: { sample_interval: '200ms' } },
    });
    const watch = await besides(stand, daemon, sibling);
    const [came, gave] = await Promise.all([
      Promise.all(
        kinds.slice(0, trials - recovered.length).map((one) => recovers(stand, daemon, oracle, one, stableMs)),
      ),
      Promise.all(lasting.slice(0, trials).map((one) => givesUp(stand, daemon, oracle, one))),
    ]);
    await watch.stop();
    recovered.push(...came);
    givenUp.push(...gave);
    await daemon.stop();
    bench.say(`recovery, ${containment}: ${recovered.length} of ${trials}`);
  }
  table([...rows(containment, recovered), ...rows(containment, givenUp)]);
  table([
    {
      containment,
      'calls of a sibling tool meanwhile': sibling.calls,
      'of these, missed': sibling.missed,
      'stable for ms': stableMs,
    },
  ]);
  const where = { promise: 'recovery', containment } as const;
  const times = recovered.flatMap(({ afterMs }) => (afterMs === null ? [] : [afterMs]));
  const good = (all: readonly Recovered[]): number => all.filter(({ ok }) => ok).length;
  return [
    share({ ...where, what: 'recoverable faults recovered' }, 'high', good(recovered), recovered.length, [
      { is: 'above', value: 90, kind: 'promise' },
      ...(short ? [] : [{ is: 'above', value: 99, kind: 'aim' } as const]),
    ]),
    share({ ...where, what: 'permanent faults given up within the budget' }, 'high', good(givenUp), givenUp.length),
    share(
      { ...where, what: 'calls of a sibling tool that were answered' },
      'high',
      sibling.calls - sibling.missed,
      sibling.calls,
    ),
    ...(times.length === 0
      ? []
      : [0.5, 0.95].map((of) =>
          quantileTime({ ...where, what: `from the fault to the first answer: p${of * 100}` }, times, of, []),
        )),
  ];
}

/** Another tool of the same daemon, which must not notice. */
async function besides(
  { bench }: Stand,
  daemon: RunningDaemon,
  tally: { calls: number; missed: number },
): Promise<{ readonly stop: () => Promise<void> }> {
  const tool = await registered(bench, daemon, 'sibling', 'mcp-echo', { args: [], sharing: 'shared' });
  if (!(await answersOnce(daemon, tool))) throw new Error('the sibling does not answer');
  let over = false;
  const calling = (async (): Promise<void> => {
    while (!over) {
      tally.calls += 1;
      if (!(await answersOnce(daemon, tool))) tally.missed += 1;
      await pause(ASK_MS);
    }
  })();
  return {
    stop: async () => {
      over = true;
      await calling;
    },
  };
}

function rows(containment: string, all: readonly Recovered[]): readonly Readonly<Record<string, unknown>>[] {
  const groups = [...new Set(all.map(({ fault, strategy }) => `${fault}\n${strategy}`))];
  return groups.map((group) => {
    const [fault, strategy] = group.split('\n');
    const some = all.filter((one) => one.fault === fault && one.strategy === strategy);
    const times = some.flatMap(({ afterMs }) => (afterMs === null ? [] : [afterMs])).toSorted((a, b) => a - b);
    return {
      containment,
      fault,
      strategy,
      episodes: some.length,
      'as promised': some.filter(({ ok }) => ok).length,
      'to the first answer p50 ms': times[Math.floor(times.length / 2)] ?? '',
      'max ms': times.at(-1) ?? '',
      'what went wrong': [...new Set(some.map(({ why }) => why).filter(Boolean))].join('; ').slice(0, 300),
    };
  });
}
