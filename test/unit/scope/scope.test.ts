import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { Scope } from '../../../lib/scope/scope.ts';
import { manualClock } from '../../helpers/manual-clock.ts';

const LONG_MS = 10_000;

t.test('reverse order, one at a time', async (t) => {
  const scope = new Scope();
  const log: string[] = [];
  for (const label of ['a', 'b', 'c']) {
    scope.add(
      label,
      async () => {
        log.push(`${label} begins`);
        await new Promise((resolve) => setTimeout(resolve, 2));
        log.push(`${label} ends`);
      },
      LONG_MS,
    );
  }
  t.equal(scope.closed, false);
  const report = await scope.close('test');
  t.equal(scope.closed, true);
  t.same(log, ['c begins', 'c ends', 'b begins', 'b ends', 'a begins', 'a ends']);
  t.equal(report.reason, 'test');
  t.same(
    report.steps.map(({ label, outcome }) => `${label} ${outcome}`),
    ['c ok', 'b ok', 'a ok'],
  );
});

t.test('all run, even when one fails, throws at once, or hangs', async (t) => {
  const scope = new Scope();
  let aborted = false;
  scope.add('first', () => 'released', LONG_MS);
  scope.add('rejects', async () => Promise.reject(new Error('no')), LONG_MS);
  scope.add(
    'throws',
    () => {
      // eslint-disable-next-line no-throw-literal -- finalizers of others may
      throw 'a string';
    },
    LONG_MS,
  );
  scope.add(
    'hangs',
    async ({ signal }) => {
      signal.addEventListener('abort', () => (aborted = true));
      await new Promise(() => undefined);
    },
    5,
  );
  const report = await scope.close('test');
  t.match(report.steps, [
    { label: 'hangs', outcome: 'timed_out', detail: 'hangs took longer than 5 ms' },
    { label: 'throws', outcome: 'failed', detail: 'a string' },
    { label: 'rejects', outcome: 'failed', detail: 'no' },
    { label: 'first', outcome: 'ok', detail: 'released' },
  ]);
  t.equal(aborted, true);
  t.notOk('detail' in (await emptyStep()), 'no detail where none was given');
});

async function emptyStep(): Promise<object> {
  const scope = new Scope();
  scope.add('x', () => undefined, LONG_MS);
  return (await scope.close('test')).steps[0] ?? {};
}

t.test('finalizers get the reason; durations come from the given clock', async (t) => {
  const clock = manualClock();
  const scope = new Scope({ label: 'run', monotonicMs: () => clock.monotonicMs() });
  scope.add('a', ({ reason }) => (clock.advance(30), reason), LONG_MS);
  scope.add('b', () => clock.advance(12), LONG_MS);
  const report = await scope.close('limit');
  t.same(report, {
    reason: 'limit',
    steps: [
      { label: 'b', outcome: 'ok', durationMs: 12 },
      { label: 'a', outcome: 'ok', durationMs: 30, detail: 'limit' },
    ],
    durationMs: 42,
  });
});

t.test('close is idempotent: the same promise, the first reason', async (t) => {
  const scope = new Scope();
  let runs = 0;
  scope.add('a', () => void runs++, LONG_MS);
  const first = scope.close('first');
  t.equal(scope.close('second'), first);
  t.equal((await first).reason, 'first');
  t.equal(scope.close('third'), first);
  t.equal(runs, 1);
});

t.test('adding to a closed scope runs at once, and its failure is seen', async (t) => {
  const scope = new Scope();
  t.equal(
    scope.add('in time', () => undefined, LONG_MS),
    undefined,
  );
  await scope.close('over');
  const good = scope.add('late', ({ reason }) => `because ${reason}`, LONG_MS);
  t.match(await good?.step, { label: 'late', outcome: 'ok', detail: 'because over' });
  const bad = scope.add('late', async () => Promise.reject(new Error('no')), LONG_MS);
  t.match(await bad?.step, { label: 'late', outcome: 'failed', detail: 'no' });
});

t.test('what is added while the scope closes is waited for and reported', async (t) => {
  const scope = new Scope();
  const log: string[] = [];
  scope.add(
    'outer',
    async () => {
      scope.add(
        'inner',
        async () => {
          log.push('inner begins');
          await new Promise((resolve) => setTimeout(resolve, 10));
          log.push('inner ends');
          scope.add('innermost', () => void log.push('innermost'), LONG_MS);
        },
        LONG_MS,
      );
      log.push('outer ends');
    },
    LONG_MS,
  );
  const report = await scope.close('test');
  t.same(log, ['inner begins', 'outer ends', 'inner ends', 'innermost']);
  t.same(
    report.steps.map(({ label }) => label),
    ['outer', 'inner', 'innermost'],
  );
});

t.test('children close with their parent, in their place', async (t) => {
  const scope = new Scope();
  scope.add('before', () => undefined, LONG_MS);
  const child = scope.child('child');
  scope.add('after', () => undefined, LONG_MS);
  child.add('a', () => undefined, LONG_MS);
  child.add('b', async () => Promise.reject(new Error('no')), LONG_MS);
  child.child('grandchild').add('x', () => undefined, LONG_MS);
  const report = await scope.close('test');
  t.same(
    report.steps.map(({ label, outcome }) => `${label} ${outcome}`),
    ['after ok', 'child: grandchild: x ok', 'child: b failed', 'child: a ok', 'before ok'],
  );
  t.equal(child.closed, true);
});

t.test('a child that has closed is forgotten by its parent', async (t) => {
  const scope = new Scope();
  let runs = 0;
  const child = scope.child('child');
  child.add('a', () => void runs++, LONG_MS);
  await child.close('own');
  t.same((await scope.close('test')).steps, []);
  t.equal(runs, 1);
});

t.test('a parent waits for a child that is closing by itself', async (t) => {
  const scope = new Scope();
  const log: string[] = [];
  scope.add('parent', () => void log.push('parent'), LONG_MS);
  const child = scope.child('child');
  child.add(
    'slow',
    async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      log.push('child');
    },
    LONG_MS,
  );
  const own = child.close('own');
  const report = await scope.close('test');
  t.same(log, ['child', 'parent']);
  t.same(
    report.steps.map(({ label }) => label),
    ['child: slow', 'parent'],
  );
  t.equal((await own).reason, 'own');
});

t.test('a child of a closed scope is closed from the start', async (t) => {
  const scope = new Scope();
  await scope.close('over');
  const child = scope.child('late');
  t.equal(child.closed, true);
  t.match(await child.add('a', ({ reason }) => reason, LONG_MS)?.step, { outcome: 'ok', detail: 'over' });
});

t.test('await using', async (t) => {
  const log: string[] = [];
  {
    await using scope = new Scope();
    scope.add('a', ({ reason }) => void log.push(reason), LONG_MS);
  }
  t.same(log, ['disposed']);
});

t.test('ten thousand children leave nothing behind', async (t) => {
  const scope = new Scope();
  for (let index = 0; index < 10_000; index++) await scope.child(`child ${index}`).close('own');
  t.same((await scope.close('test')).steps, []);
});

t.test('the process does not exit while a finalizer is pending', async (t) => {
  const scopeUrl = new URL('../../../lib/scope/scope.js', import.meta.url).href;
  const script = `
    import { Scope } from ${JSON.stringify(scopeUrl)};
    const scope = new Scope();
    scope.add('hangs without a handle', () => new Promise(() => {}), 50);
    scope.close('end').then(({ steps }) => console.log(steps[0].outcome));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  t.equal(stdout, 'timed_out\n');
});
