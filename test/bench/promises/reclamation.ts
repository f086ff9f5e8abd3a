/** The second promise: what of all that a tool held is gone a second after its end. */

import { type RunningDaemon, startDaemon } from '../../helpers/daemon.ts';
import { fixtureCommand } from '../../helpers/fixture.ts';
import { type GovernedRun, runStairs } from '../../helpers/stairs.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { pause } from '../../helpers/wait-for.ts';
import { program } from '../support/program.ts';
import { Oracle } from './ask.ts';
import { type Counts, type Kind, KINDS } from './holdings.ts';
import { share, type Stand, type Stated } from './stated.ts';

interface Program {
  readonly name: string;
  readonly command: () => readonly string[];
  /** One of the five that get away from most supervisors. */
  readonly escapes?: true;
}

const fixture =
  (name: string, ...args: readonly string[]) =>
  (): readonly string[] =>
    fixtureCommand(name, args);

/** The five escapes first, then what does not want to go, then what holds much. */
const SET: readonly Program[] = [
  { name: 'setsid and double fork', command: fixture('escape-setsid-double-fork'), escapes: true },
  { name: 'hop fork', command: fixture('hop-fork'), escapes: true },
  { name: 'hop fork, sessions', command: fixture('hop-fork', '--setsid'), escapes: true },
  { name: 'env -i daemon', command: fixture('env-i-daemon', process.execPath), escapes: true },
  { name: 'fork bomb', command: fixture('fork-bomb', '--max=60'), escapes: true },
  { name: 'leaky tree, polite', command: fixture('leaky-tree', process.execPath) },
  { name: 'leaky tree, stubborn', command: fixture('leaky-tree', process.execPath, '--stubborn') },
  { name: 'forks on SIGTERM', command: fixture('term-handler-forks') },
  { name: 'stopped by SIGSTOP', command: fixture('stopped') },
  {
    name: 'processes, files, a listener',
    command: () => [program('holding'), '--procs=20', '--mb=20', '--files=500', '--listen'],
  },
  { name: 'connections', command: fixture('open-sockets', '--count=40') },
  { name: 'sockets in CLOSE_WAIT', command: fixture('leak-close-wait') },
  { name: 'unlinked open files', command: fixture('fill-temp-unlinked-open', '--mb=8') },
  { name: 'files', command: fixture('open-files', '--count=200') },
];

const LIFE_MS = 300_000;
/** After the answer to the stop, whose grace is over by then. */
const AFTER_MS = 1_000;
const TASKS = 20_000;

interface Teardown {
  readonly program: Program;
  readonly held: Counts;
  readonly left: Counts;
  /** To the stop, where it was another than 200: what cannot be proven to be over is said so, and looked at like all the rest. */
  readonly answer: string | null;
}

export async function reclamation(stand: Stand): Promise<readonly Stated[]> {
  const { bench, containment, trials, table } = stand;
  const daemon = await startDaemon(bench, { backend: containment });
  const oracle = new Oracle(bench);
  const seen: Teardown[] = [];
  for (let round = 0; seen.length < trials; round += 1) {
    const programs = SET.slice(0, Math.max(5, Math.min(SET.length, trials - seen.length)));
    seen.push(...(await oneRound(stand, daemon, oracle, programs, round)));
    bench.say(`reclamation, ${containment}: ${seen.length} of ${trials}`);
  }
  await daemon.stop();
  const kinds = KINDS.map((kind) => ({
    containment,
    kind,
    held: sum(seen, 'held', kind),
    left: sum(seen, 'left', kind),
  })).filter(({ held }) => held > 0);
  table(kinds);
  table(
    SET.map(({ name }) => seen.filter(({ program }) => program.name === name)).flatMap((some) =>
      some.length === 0
        ? []
        : [
            {
              containment,
              program: some[0]?.program.name,
              teardowns: some.length,
              'that left nothing': some.filter(leftNothing).length,
              left: KINDS.filter((kind) => sum(some, 'left', kind) > 0)
                .map((kind) => `${kind} ${sum(some, 'left', kind)}`)
                .join(', '),
              'answers to the stop but 200': [...new Set(some.flatMap(({ answer }) => answer ?? []))]
                .join('; ')
                .slice(0, 300),
            },
          ],
    ),
  );
  const worst = kinds.toSorted((a, b) => b.left / b.held - a.left / a.held)[0];
  if (worst === undefined) throw new Error('the oracle saw nothing held');
  const escapes = seen.filter(({ program }) => program.escapes === true);
  const where = { promise: 'reclamation', containment } as const;
  const reclaimed = seen.reduce((total, { held, left }) => total + reclaimedShare(held, left), 0);
  return [
    {
      ...share(
        { ...where, what: 'reclaimed of what was held, worst kind of each teardown, mean' },
        'high',
        Math.floor(reclaimed),
        seen.length,
        [{ is: 'above', value: 95, kind: 'promise' }],
      ),
      figure: (reclaimed / seen.length) * 100,
    },
    share(
      { ...where, what: `reclaimed of the worst kind (${worst.kind}), items` },
      'high',
      worst.held - Math.min(worst.left, worst.held),
      worst.held,
    ),
    share({ ...where, what: 'teardowns that left nothing' }, 'high', seen.filter(leftNothing).length, seen.length, [
      { is: 'above', value: 95, kind: 'promise' },
      { is: 'above', value: 99, kind: 'aim' },
    ]),
    share({ ...where, what: 'of these, the five escapes' }, 'high', escapes.filter(leftNothing).length, escapes.length),
  ];
}

async function oneRound(
  { bench, containment }: Stand,
  daemon: RunningDaemon,
  oracle: Oracle,
  programs: readonly Program[],
  round: number,
): Promise<readonly Teardown[]> {
  const started: { readonly program: Program; readonly run: GovernedRun }[] = [];
  for (const [at, program] of programs.entries()) {
    const name = `${containment} ${round} ${at}`;
    const flags = ['--grace', '200ms', '--tasks', String(TASKS)];
    started.push({
      program,
      run: runStairs(bench, daemon, name, { flags, command: program.command(), lifeMs: LIFE_MS }),
    });
  }
  try {
    await Promise.all(started.map(({ run }) => run.said('ready', 30_000)));
    const noted: Counts[] = [];
    for (const { program, run } of started) {
      const held = await oracle.note(run.marker);
      if (held.processes === 0) throw new Error(`the oracle sees nobody of ${program.name}`);
      noted.push(held);
    }
    const teardown = async ({ program, run }: (typeof started)[number], held: Counts): Promise<Teardown> => {
      const { status, text } = await daemon.call('POST', `/v1/tools/${encodeURIComponent(run.name)}/deactivate`);
      const answer = status === 200 ? null : `${status} ${text}`;
      if (answer !== null) bench.say(`${containment}, ${program.name}: ${answer}`);
      await pause(AFTER_MS);
      return { program, held, left: await oracle.left(run.marker), answer };
    };
    return await Promise.all(started.map((one, at) => teardown(one, noted[at] as Counts)));
  } finally {
    for (const { run } of started) await killSurvivors(run.marker);
    await oracle.forget(started.map(({ run }) => run.marker));
  }
}

function sum(seen: readonly Teardown[], when: 'held' | 'left', kind: Kind): number {
  return seen.reduce((total, one) => total + one[when][kind], 0);
}

function leftNothing({ left }: Teardown): boolean {
  return KINDS.every((kind) => left[kind] === 0);
}

/** Of one teardown: the worst of its kinds. */
function reclaimedShare(held: Counts, left: Counts): number {
  return Math.min(
    ...KINDS.map((kind) => (left[kind] === 0 ? 1 : held[kind] === 0 ? 0 : Math.max(0, 1 - left[kind] / held[kind]))),
  );
}
