import t from 'tap';
import { Mailbox } from '../../../lib/supervisor/mailbox.ts';

t.test('one message at a time, in order, whatever each takes', async (t) => {
  const log: string[] = [];
  const mailbox = new Mailbox(() => undefined);
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  mailbox.post(async () => {
    log.push('first begins');
    await held;
    log.push('first ends');
  });
  mailbox.post(() => void log.push('second'));
  await Promise.resolve();
  t.same(log, ['first begins']);
  release();
  await mailbox.drained();
  t.same(log, ['first begins', 'first ends', 'second']);
});

t.test('a message that fails is reported and harms no other', async (t) => {
  const errors: unknown[] = [];
  const log: string[] = [];
  const mailbox = new Mailbox((error) => void errors.push((error as Error).message));
  mailbox.post(() => {
    throw new Error('thrown');
  });
  mailbox.post(() => Promise.reject(new Error('rejected')));
  mailbox.post(() => void log.push('third'));
  await mailbox.drained();
  t.same(errors, ['thrown', 'rejected']);
  t.same(log, ['third']);
});

t.test('a message posted by a message comes after those that wait', async (t) => {
  const log: string[] = [];
  const mailbox = new Mailbox(() => undefined);
  mailbox.post(() => {
    log.push('first');
    mailbox.post(() => void log.push('posted by the first'));
  });
  mailbox.post(() => void log.push('second'));
  await mailbox.drained();
  await mailbox.drained();
  t.same(log, ['first', 'second', 'posted by the first']);
});
