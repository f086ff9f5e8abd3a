import t from 'tap';
import type { Target } from '../../../lib/process/terminate.ts';
import { terminate } from '../../../lib/process/terminate.ts';

interface Script {
  /** What makes the tree end. */
  readonly endsOn: 'end_of_input' | 'SIGTERM' | 'kill' | 'second kill' | 'nothing' | 'already';
  readonly hasInput?: boolean;
  readonly exact?: boolean;
}

function scripted({ endsOn, hasInput = true, exact = true }: Script): { target: Target; log: string[] } {
  const log: string[] = [];
  let empty = endsOn === 'already';
  let kills = 0;
  const target: Target = {
    exact,
    endInput: hasInput
      ? () => {
          log.push('end_of_input');
          empty ||= endsOn === 'end_of_input';
        }
      : null,
    signal: (signal) => {
      log.push(signal);
      empty ||= endsOn === 'SIGTERM';
      return Promise.resolve(1);
    },
    kill: () => {
      kills++;
      log.push('kill');
      empty ||= endsOn === 'kill' || (endsOn === 'second kill' && kills === 2);
      return Promise.resolve();
    },
    empty: () => empty,
  };
  return { target, log };
}

const options = {
  graceMs: 40,
  killTimeoutMs: 200,
  hurry: new AbortController().signal,
  monotonicMs: () => performance.now(),
};

t.test('goes only as far as it must', async (t) => {
  const cases: readonly [Script, string, readonly string[], boolean][] = [
    [{ endsOn: 'already' }, 'was_empty', [], true],
    [{ endsOn: 'end_of_input' }, 'end_of_input', ['end_of_input'], true],
    [{ endsOn: 'SIGTERM' }, 'signal', ['end_of_input', 'SIGTERM'], true],
    [{ endsOn: 'SIGTERM', hasInput: false }, 'signal', ['SIGTERM'], true],
    [{ endsOn: 'kill' }, 'killed', ['end_of_input', 'SIGTERM', 'kill'], true],
    [{ endsOn: 'second kill' }, 'killed', ['end_of_input', 'SIGTERM', 'kill', 'kill'], true],
    [{ endsOn: 'kill', exact: false }, 'killed', ['end_of_input', 'SIGTERM', 'kill'], false],
  ];
  for (const [script, how, log, proven] of cases) {
    const scene = scripted(script);
    const outcome = await terminate(scene.target, options);
    t.match(outcome, { how, proven }, JSON.stringify(script));
    t.same(scene.log, log, JSON.stringify(script));
  }
});

t.test('a tree that outlives every SIGKILL is said to have survived, never success', async (t) => {
  const { target, log } = scripted({ endsOn: 'nothing' });
  const outcome = await terminate(target, options);
  t.match(outcome, { how: 'survived', proven: false });
  t.ok(log.filter((word) => word === 'kill').length > 1, 'it was tried more than once');
});

t.test('without grace nobody is asked', async (t) => {
  const { target, log } = scripted({ endsOn: 'kill' });
  t.match(await terminate(target, { ...options, graceMs: 0 }), { how: 'killed', graceMs: 0 });
  t.same(log, ['kill']);
});

t.test('an emergency takes the rest of the grace away', async (t) => {
  const hurry = new AbortController();
  const { target, log } = scripted({ endsOn: 'kill' });
  const ended = terminate(target, { ...options, graceMs: 60_000, hurry: hurry.signal });
  hurry.abort();
  t.match(await ended, { how: 'killed' });
  t.same(log, ['end_of_input', 'kill']);
});
