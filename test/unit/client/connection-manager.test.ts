import t from 'tap';
import { ConnectionManager, type Closable } from '../../../lib/client/connection-manager.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { settled } from '../../helpers/manual-time.ts';
import { gate } from '../../helpers/pool.ts';

interface Stand {
  readonly manager: ConnectionManager;
  readonly log: string[];
  opens(name: string, close?: () => unknown): () => Closable;
}

function stand(): Stand {
  const log: string[] = [];
  return {
    manager: new ConnectionManager(),
    log,
    opens: (name, close) => () => {
      log.push(`opened ${name}`);
      return {
        close() {
          log.push(`closed ${name}`);
          return close?.();
        },
      };
    },
  };
}

t.test('several at once, each opened once', async (t) => {
  const { manager, log, opens } = stand();
  const [a, again, b] = await Promise.all([
    manager.connect('a', opens('a')),
    manager.connect('a', opens('a')),
    manager.connect('b', opens('b')),
  ]);
  t.equal(a, again);
  t.not(a, b);
  t.same(log, ['opened a', 'opened b']);
  t.equal(await manager.connect('a', opens('other')), a);
  t.same(manager.names, ['a', 'b']);
  t.equal(manager.get('a'), a);
  t.equal(manager.get('c'), undefined);
});

t.test('closed in reverse order, one after the other, once', async (t) => {
  const { manager, log, opens } = stand();
  await manager.connect('a', opens('a'));
  await manager.connect(
    'b',
    opens('b', async () => {
      await settled();
      log.push('b is gone');
    }),
  );
  await manager.connect('c', opens('c'));
  const both = [manager.closeAll(), manager.closeAll()];
  t.same(await Promise.all(both), [
    { closed: 3, errors: [], error: null },
    { closed: 3, errors: [], error: null },
  ]);
  t.same(log.slice(3), ['closed c', 'closed b', 'b is gone', 'closed a']);
  t.same(await manager.closeAll(), { closed: 3, errors: [], error: null });
  await manager[Symbol.asyncDispose]();
  t.equal(log.length, 7);
  await t.rejects(manager.connect('d', opens('d')), isGovernorError('illegal_state'));
  t.same([manager.names, manager.get('a')], [[], undefined]);
});

t.test('one alone can be closed, twice, and opened again', async (t) => {
  const { manager, log, opens } = stand();
  await manager.connect('a', opens('a'));
  t.match(await manager.close('a'), { closed: 1 });
  t.match(await manager.close('a'), { closed: 0, error: null });
  t.match(await manager.close('never there'), { closed: 0 });
  await manager.connect('a', opens('a again'));
  await manager.closeAll();
  t.same(log, ['opened a', 'closed a', 'opened a again', 'closed a again']);
});

t.test('one object under two names is closed once', async (t) => {
  const { manager, log, opens } = stand();
  const one = opens('one')();
  await manager.connect('a', () => one);
  await manager.connect('b', () => one);
  t.match(await manager.closeAll(), { closed: 2, errors: [] });
  t.same(log, ['opened one', 'closed one']);
});

t.test('one that cannot be opened: all who wait hear it, the next call tries again', async (t) => {
  const { manager, opens } = stand();
  const failure = new Error('refused');
  const waiters = [1, 2].map(() => manager.connect('a', async () => Promise.reject(failure)));
  for (const waiter of waiters) await t.rejects(waiter, failure);
  t.same(manager.names, []);
  t.ok(await manager.connect('a', opens('a')));
});

t.test('errors are collected, and keep no other from being closed', async (t) => {
  const { manager, log, opens } = stand();
  const failure = new Error('EPIPE');
  await manager.connect('a', opens('a'));
  await manager.connect(
    'b',
    opens('b', () => Promise.reject(failure)),
  );
  await manager.connect(
    'c',
    opens('c', () => {
      throw 'a string';
    }),
  );
  const report = await manager.closeAll();
  t.equal(report.closed, 1);
  t.match(report.errors, [
    { name: 'ConnectionCloseError', connection: 'c', message: 'c: a string' },
    { connection: 'b', message: 'b: EPIPE', cause: failure },
  ]);
  t.equal(report.error?.message, '2 of 3 connections were not closed');
  t.same(report.error?.errors, report.errors);
  t.ok(log.includes('closed a'));
  const before = log.length;
  await t.resolves(manager[Symbol.asyncDispose](), 'what was told once is not thrown again');
  t.equal(log.length, before, 'nothing is closed twice');
});

t.test('await using closes all, and throws what went wrong', async (t) => {
  const log: string[] = [];
  const use = async (fails: boolean): Promise<void> => {
    await using manager = new ConnectionManager();
    await manager.connect('a', () => ({
      close: () => {
        log.push('closed');
        if (fails) throw new Error('busy');
      },
    }));
  };
  await use(false);
  t.same(log, ['closed']);
  await t.rejects(use(true), { name: 'AggregateError', errors: [{ message: 'a: busy' }] });
});

t.test('one that hangs is given up', async (t) => {
  const { manager, log, opens } = stand();
  await manager.connect('a', opens('a'));
  await manager.connect(
    'hangs',
    opens('hangs', () => new Promise(() => undefined)),
  );
  const { errors } = await manager.closeAll({ deadlineMs: 100 });
  t.same(
    errors.map(({ message }) => message),
    ['hangs: it was not closed in time'],
  );
  t.ok(log.includes('closed a'));
  t.throws(() => manager.closeAll({ deadlineMs: Number.NaN }), isGovernorError('invalid_request'));
});

t.test('closed while it is being opened: nobody gets it, and it is closed when it is there', async (t) => {
  const { manager, log, opens } = stand();
  const opening = gate<Closable>();
  let aborted = false;
  const waiter = manager.connect('a', ({ signal }) => {
    signal.addEventListener('abort', () => (aborted = true));
    return opening.passed;
  });
  const refused = t.rejects(waiter, { code: 'illegal_state', message: 'a was closed while it was being opened' });
  await settled(1);
  const closing = manager.close('a');
  t.equal(aborted, true);
  const next = await manager.connect('a', opens('next'));
  opening.open(opens('late')());
  t.match(await closing, { closed: 1, errors: [] });
  await refused;
  t.same(log, ['opened next', 'opened late', 'closed late']);
  t.equal(manager.get('a'), next, 'the new one is not touched by the end of the old one');
  const failing = manager.connect('b', async () => {
    await settled();
    throw new Error('no');
  });
  const failed = t.rejects(failing, { message: 'no' });
  await settled(1);
  t.match(await manager.close('b'), { closed: 1, errors: [] }, 'what could not be opened needs no closing');
  await failed;
});

t.test('one that ends by itself is forgotten, and the next call opens another', async (t) => {
  const { manager, log, opens } = stand();
  let end = (): void => undefined;
  const first = await manager.connect('a', ({ onClosed }) => {
    end = onClosed;
    return opens('a')();
  });
  end();
  t.same([manager.names, manager.get('a')], [[], undefined]);
  const second = await manager.connect('a', opens('a2'));
  end();
  t.equal(manager.get('a'), second);
  t.not(first, second);
  await manager.connect('b', ({ onClosed }) => {
    onClosed();
    return opens('b')();
  });
  t.equal(manager.get('b'), undefined, 'ended before it was there');
  await manager.closeAll();
  t.same(
    log.filter((line) => line.startsWith('closed')),
    ['closed a2'],
  );
});

t.test('one may be opened from within another', async (t) => {
  const { manager, log, opens } = stand();
  await manager.connect('outer', async () => {
    await manager.connect('inner', opens('inner'));
    return opens('outer')();
  });
  await manager.closeAll();
  t.same(log, ['opened inner', 'opened outer', 'closed outer', 'closed inner']);
});
