import t from 'tap';
import { TimeoutError, withDeadline } from '../../../lib/scope/deadline.ts';
import { GovernorError } from '../../../lib/core/errors.ts';

t.test('in time', async (t) => {
  t.equal(await withDeadline(async () => 7, 10_000, 'work'), 7);
  t.equal(await withDeadline(() => 7, 10_000, 'work'), 7, 'also without a promise');
  await t.rejects(
    withDeadline(async () => Promise.reject(new Error('own')), 10_000, 'work'),
    { message: 'own' },
  );
  await t.rejects(
    withDeadline(
      () => {
        throw new Error('at once');
      },
      10_000,
      'work',
    ),
    { message: 'at once' },
  );
});

t.test('too late', async (t) => {
  let signal: AbortSignal | undefined;
  const work = async (given: AbortSignal): Promise<void> => {
    signal = given;
    await new Promise(() => undefined);
  };
  const error: unknown = await withDeadline(work, 5, 'work').catch((caught: unknown) => caught);
  t.ok(error instanceof TimeoutError);
  t.ok(error instanceof GovernorError);
  t.match(error, {
    label: 'work',
    deadlineMs: 5,
    message: 'work took longer than 5 ms',
    code: 'internal',
    data: { label: 'work', deadlineMs: 5 },
  });
  t.equal(signal?.aborted, true);
  t.equal(signal?.reason, error, 'aborted with the same error');
});

t.test('work that gives up on the signal is late all the same', async (t) => {
  const work = async (signal: AbortSignal): Promise<void> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('gave up')));
    });
  await t.rejects(withDeadline(work, 5, 'work'), { name: 'TimeoutError' });
});

t.test('a late failure is no unhandled rejection', async (t) => {
  let fail: (error: Error) => void = () => undefined;
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  t.teardown(() => process.off('unhandledRejection', note));
  await t.rejects(
    withDeadline(async () => new Promise((_resolve, reject) => (fail = reject)), 5, 'work'),
    { name: 'TimeoutError' },
  );
  fail(new Error('late'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(unhandled, []);
});

t.test('a deadline longer than a timer can hold does not fire at once', async (t) => {
  t.equal(
    await withDeadline(async () => new Promise((resolve) => setTimeout(resolve, 20, 'done')), Infinity, 'work'),
    'done',
  );
});
