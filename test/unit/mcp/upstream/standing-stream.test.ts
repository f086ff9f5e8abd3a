import t from 'tap';
import { SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import { RECONNECTION, StandingStream } from '../../../../lib/mcp/upstream/standing-stream.ts';
import { manualTime } from '../../../helpers/manual-time.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

function scene(t: TestScope) {
  const time = manualTime(t);
  const seen = { opened: 0, gone: 0, error: null as Error | null };
  const stream = new StandingStream({
    monotonicMs: () => time.monotonicMs(),
    open() {
      seen.opened++;
      return seen.error === null ? Promise.resolve() : Promise.reject(seen.error);
    },
    onGone: () => void seen.gone++,
  });
  /** As the SDK asks for it when a stream has ended. */
  const wait = async (delayMs = RECONNECTION.initialReconnectionDelay): Promise<number> => {
    let again = false;
    stream.schedule(() => (again = true), delayMs);
    let waitedMs = 0;
    for (; !again && waitedMs < 200_000; waitedMs += 100) await time.pass(100);
    return waitedMs;
  };
  return { time, stream, seen, wait };
}

const refused = (status: number): Error =>
  new SdkHttpError(SdkErrorCode.ClientHttpFailedToOpenStream, 'no', { status, statusText: '' });

t.test('ever less often, and never given up', async (t) => {
  const { wait, stream, time } = scene(t);
  const waits: number[] = [];
  for (let count = 0; count < 9; count++) waits.push(await wait());
  t.same(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  stream.heard();
  t.equal(await wait(), 1_000, 'something was heard: it is as at first');
  t.equal(await wait(), 2_000);
  await time.pass(130_000);
  t.equal(await wait(), 1_000, 'one that has stood long is cut, not refused');
  stream.close();
  t.equal(time.pending, 0);
  t.equal(await wait(), 200_000, 'closed is closed');
});

t.test('as soon as the server has said, within reason', async (t) => {
  const { wait } = scene(t);
  t.same([await wait(5_000), await wait(5_000), await wait(0)], [5_000, 5_000, 100]);
});

t.test('one that could not be opened the first time', async (t) => {
  for (const [status, isTriedAgain] of [
    [500, true],
    [503, true],
    [429, true],
    [400, false],
    [404, false],
  ] as const) {
    await t.test(`${status}`, async (t) => {
      const { stream, time, seen } = scene(t);
      t.equal(stream.failed(refused(status)), true, 'it is told');
      seen.error = refused(503);
      await time.pass(1_000);
      t.equal(seen.opened, isTriedAgain ? 1 : 0);
      if (isTriedAgain) t.equal(stream.failed(refused(503)), false, 'once');
      seen.error = new TypeError('fetch failed');
      await time.pass(2_000);
      t.equal(seen.opened, isTriedAgain ? 2 : 0);
      seen.error = refused(405);
      await time.pass(200_000);
      t.equal(seen.opened, isTriedAgain ? 3 : 0, 'there is none after all');
      t.equal(seen.gone, 0);
    });
  }
});

t.test('what else fails on that transport opens nothing', async (t) => {
  const { stream, time, seen } = scene(t);
  t.equal(stream.failed(new Error('SSE stream disconnected')), true);
  const posted = { status: 503, statusText: '', text: '' };
  t.equal(stream.failed(new SdkHttpError(SdkErrorCode.ClientHttpNotImplemented, 'no', posted)), true);
  await time.pass(10_000);
  t.equal(seen.opened, 0);
});
