import t, { type Test } from 'tap';
import { installShutdown, type Shutdown } from '../../../daemon/shutdown.ts';
import { manualTime, settled } from '../../helpers/manual-time.ts';

interface Scene {
  readonly shutdown: Shutdown;
  readonly log: string[];
  /** Ends the work that was begun. */
  readonly finish: () => void;
  readonly fail: () => void;
  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void;
  /** The exit code, or null while the daemon goes on. */
  code(): Promise<number | null>;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function scene(t: Test, terminal = true): Scene {
  const before = new Map(SIGNALS.map((signal) => [signal, new Set(process.listeners(signal))]));
  const added = (signal: (typeof SIGNALS)[number]) =>
    process.listeners(signal).filter((listener) => before.get(signal)?.has(listener) === false);
  const log: string[] = [];
  let finish = (): void => undefined;
  let fail = (): void => undefined;
  const work = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = () => reject(new Error('a room did not close'));
  });
  const shutdown = installShutdown({
    terminal,
    close(mode) {
      log.push(`close ${mode}`);
      return work;
    },
    hurry: () => void log.push('hurry'),
    reload: () => void log.push('reload'),
    onSignal: (signal, count) => void log.push(`${signal} ${count}`),
  });
  t.teardown(() => {
    finish();
    for (const signal of SIGNALS) for (const listener of added(signal)) process.off(signal, listener);
  });
  let code: number | null = null;
  void shutdown.done.then((given) => (code = given));
  return {
    shutdown,
    log,
    finish,
    fail,
    // Only to what was installed here: the test runner listens too.
    signal: (name) => added(name).forEach((listener) => listener(name)),
    async code() {
      await settled();
      return code;
    },
  };
}

t.test('SIGINT ends every run, SIGTERM the managed ones', async (t) => {
  for (const [signal, mode] of [
    ['SIGINT', 'all'],
    ['SIGTERM', 'managed'],
  ] as const) {
    const s = scene(t);
    t.equal(await s.code(), null);
    s.signal(signal);
    t.same(s.log, [`${signal} 1`, `close ${mode}`]);
    t.equal(await s.code(), null, 'not before everything is closed');
    s.finish();
    t.equal(await s.code(), 0);
    s.signal(signal);
    t.equal(s.log.length, 2, 'nobody listens any more');
  }
});

t.test('a second signal hurries, a third gives up', async (t) => {
  const s = scene(t);
  s.signal('SIGTERM');
  s.signal('SIGINT');
  t.same(s.log, ['SIGTERM 1', 'close managed', 'SIGINT 2', 'hurry'], 'what was begun is not begun again');
  t.equal(await s.code(), null);
  s.signal('SIGINT');
  t.equal(await s.code(), 1);
});

t.test('a hang-up: the person has gone, or, without a terminal, a reload', async (t) => {
  const person = scene(t, true);
  person.signal('SIGHUP');
  t.same(person.log, ['SIGHUP 1', 'close all']);
  const service = scene(t, false);
  service.signal('SIGHUP');
  service.signal('SIGHUP');
  t.same(service.log, ['reload', 'reload']);
  t.equal(await service.code(), null);
});

t.test('asked for by other ways: begun once', async (t) => {
  const s = scene(t);
  s.shutdown.begin('all');
  s.shutdown.begin('managed');
  t.same(s.log, ['close all']);
  s.signal('SIGINT');
  t.same(s.log, ['close all', 'SIGINT 1'], 'the first signal joins it');
  s.signal('SIGINT');
  t.equal(s.log.at(-1), 'hurry');
  s.finish();
  t.equal(await s.code(), 0);
});

t.test('what does not close is a failure, and what never ends is given up', async (t) => {
  const failing = scene(t);
  failing.signal('SIGINT');
  failing.fail();
  t.equal(await failing.code(), 1);

  const time = manualTime(t);
  const hanging = scene(t);
  hanging.signal('SIGINT');
  await time.pass(119_000);
  t.equal(await hanging.code(), null);
  await time.pass(2_000);
  t.equal(await hanging.code(), 1);
});
