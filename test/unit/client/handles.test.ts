import t from 'tap';
import { Handles, type CloseHandle } from '../../../lib/client/handles.ts';
import { gate } from '../../helpers/pool.ts';

interface Stand {
  readonly handles: Handles;
  readonly log: string[];
  add(
    name: string,
    options?: { readonly critical?: boolean; readonly shared?: boolean; readonly close?: CloseHandle },
  ): { unregister(): boolean };
}

function stand(): Stand {
  const log: string[] = [];
  const handles = new Handles(() => undefined);
  return {
    handles,
    log,
    add(name, { critical = false, shared = false, close } = {}) {
      const entry = {
        name,
        critical,
        shared,
        close: async (context: Parameters<CloseHandle>[0]): Promise<void> => {
          log.push(name);
          await close?.(context);
        },
      };
      handles.add(entry);
      return { unregister: () => handles.remove(entry) };
    },
  };
}

t.test('critical ones first, each kind in reverse order, one after the other', async (t) => {
  const { handles, log, add } = stand();
  const slow = { close: () => new Promise((resolve) => setTimeout(resolve, 5)).then(() => log.push('ended')) };
  add('a');
  add('critical a', { critical: true });
  add('b', slow);
  add('critical b', { critical: true, ...slow });
  add('c');
  t.same(await handles.closeAll('limit', 60_000), { held: 5, closed: 5, failed: [] });
  t.same(log, ['critical b', 'ended', 'critical a', 'c', 'b', 'ended', 'a']);
  t.equal(handles.size, 0);
  t.same(await handles.closeAll('limit', 60_000), { held: 0, closed: 0, failed: [] }, 'once');
});

t.test('one that fails, thrown or rejected, keeps no other', async (t) => {
  const { handles, log, add } = stand();
  add('a');
  add('b', { close: () => Promise.reject(new Error('EIO')) });
  add('c', {
    close: () => {
      throw 'a string';
    },
  });
  t.same(await handles.closeAll('limit', 60_000), {
    held: 3,
    closed: 1,
    failed: [
      { name: 'c', reason: 'a string' },
      { name: 'b', reason: 'EIO' },
    ],
  });
  t.same(log, ['c', 'b', 'a']);
});

t.test('one that hangs takes its share and no more; when it ends in time after all, it is closed', async (t) => {
  const { handles, log, add } = stand();
  const late = gate<undefined>();
  let told: unknown = null;
  add('a', { close: () => late.open(undefined) });
  add('hangs', { close: () => new Promise(() => undefined) });
  add('late', {
    close: ({ signal }) => {
      signal.addEventListener('abort', () => (told = signal.reason));
      return late.passed;
    },
  });
  t.same(await handles.closeAll('limit', 300), {
    held: 3,
    closed: 2,
    failed: [{ name: 'hangs', reason: 'it was not closed in time' }],
  });
  t.same(log, ['late', 'hangs', 'a']);
  t.match(told, { message: 'late was to be closed within 100 ms' });
});

t.test('without any time each is begun all the same', async (t) => {
  const { handles, log, add } = stand();
  add('a');
  add('b', { close: () => new Promise(() => undefined) });
  t.match(await handles.closeAll('limit', 0), { held: 2, failed: [{ name: 'b' }] });
  t.same(log, ['b', 'a']);
});

t.test('what is registered meanwhile is closed too, what was taken away is not', async (t) => {
  const { handles, log, add } = stand();
  add('a');
  add('b', { close: () => void add('from b') });
  const gone = add('gone');
  t.equal(gone.unregister(), true);
  t.equal(gone.unregister(), false);
  const first = handles.closeAll('limit', 60_000);
  t.equal(handles.closeAll('other', 1), first, 'closing twice is closing once');
  t.match(await first, { held: 3, closed: 3 });
  t.same(log, ['b', 'from b', 'a']);
  add('later');
  t.match(await handles.closeAll('limit', 60_000), { held: 1 }, 'it can be used again');
});

t.test('of very many failures the first twenty are named', async (t) => {
  const { handles, add } = stand();
  for (let index = 0; index < 2_000; index++)
    add(`h${index}`, {
      close: () => {
        throw new Error('x');
      },
    });
  const { held, closed, failed } = await handles.closeAll('limit', 60_000);
  t.same([held, closed, failed.length, failed[0]?.name], [2_000, 0, 20, 'h1999']);
});

t.test('when only the context changes, shared ones stay; at the end they go too', async (t) => {
  const { handles, log, add } = stand();
  add('pool', { shared: true });
  add('a');
  add('critical', { critical: true });
  add('critical pool', { critical: true, shared: true });
  t.same(await handles.closeAll('context_changed', 60_000, true), { held: 2, closed: 2, failed: [] });
  t.same(log, ['critical', 'a']);
  t.equal(handles.size, 2);
  t.same(await handles.closeAll('limit', 60_000), { held: 2, closed: 2, failed: [] });
  t.same(log, ['critical', 'a', 'critical pool', 'pool']);
});

t.test('an end that comes while the context changes closes the shared ones as well', async (t) => {
  const { handles, log, add } = stand();
  const slow = gate<undefined>();
  add('pool', { shared: true });
  add('slow', { close: () => slow.passed });
  const changing = handles.closeAll('context_changed', 60_000, true);
  t.equal(handles.closeAll('context_changed', 60_000, true), changing, 'the same again is the same');
  const ending = handles.closeAll('limit', 60_000);
  t.equal(handles.closeAll('context_changed', 60_000, true), ending, 'an end is more than a change');
  t.same(await ending, { held: 1, closed: 1, failed: [] });
  slow.open(undefined);
  t.same(await changing, { held: 1, closed: 1, failed: [] });
  t.same(log, ['slow', 'pool']);
});
