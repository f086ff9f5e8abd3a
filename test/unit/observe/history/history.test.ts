/** The daemon's side and the real worker: what is copied, posted, asked, and what becomes of a thread that dies. */

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Readings } from '../../../../lib/core/usage.ts';
import { measured, unsupported } from '../../../../lib/core/usage.ts';
import { History } from '../../../../lib/observe/history/history.ts';
import type { HistoryOptions } from '../../../../lib/observe/history/history.ts';
import type { Answer } from '../../../../lib/observe/history/messages.ts';
import type { Note } from '../../../../lib/observe/history/rescue.ts';
import { RESOURCES } from '../../../../lib/core/resource.ts';
import { manualClock } from '../../../helpers/manual-clock.ts';
import { fillMinutes, START_S, USUAL } from '../../../helpers/history-stand.ts';
import { temporaryDirectory } from '../../../helpers/temp-directory.ts';
import type { TestScope } from '../../../helpers/fixture.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

function made(
  t: TestScope,
  path = join(temporaryDirectory(t), 'history.db'),
  thread?: NonNullable<HistoryOptions['thread']>,
) {
  const clock = manualClock(5_000, START_S * 1000);
  const notes: Note[] = [];
  const options: HistoryOptions = {
    path,
    boot: 'boot-1',
    settings: USUAL,
    sampleIntervalMs: 1_000,
    clock: () => ({ monotonicMs: clock.monotonicMs(), uptimeMs: clock.monotonicMs() + 70_000, wallMs: clock.wallMs() }),
    onNote: (note) => notes.push(note),
    ...(thread === undefined ? {} : { thread }),
  };
  const history = new History(options);
  t.teardown(() => history.close());
  const sample = (id: string, memory: number): void => {
    const atMs = clock.monotonicMs();
    const none = unsupported('not here');
    const readings: Readings = {
      memory: measured(memory, 'exact', atMs),
      cpu: none,
      file_handles: none,
      sockets: none,
      runtime: none,
      temp_storage: none,
      tasks: none,
    };
    history.sample({
      id,
      tool: 'docs',
      context: null,
      last: { runId: id, atMs, stalled: false, readings, kernel: KERNEL },
    });
  };
  return { history, clock, notes, sample, path };
}

const KERNEL = { oomKills: 0, cpuThrottledMs: 0, memoryStall: null };
const QUESTION = { tool: 'docs', run: null, resources: RESOURCES, fromS: null, toS: null, stepS: 1 } as const;

function memoryOf(answer: Answer): readonly (number | null)[] {
  if (answer.kind !== 'document') throw new Error(JSON.stringify(answer));
  const { mean = [] } = answer.document.resources.find(({ resource }) => resource === 'memory') ?? {};
  return mean.filter((value) => value !== null);
}

t.test('no thread before the first reading; then every reading, however many come at once', async (t) => {
  const { history, clock, sample, path } = made(t);
  t.equal(history.status().state, 'waiting');
  t.notOk(existsSync(path));
  for (let second = 0; second < 5; second++) {
    for (let run = 0; run < 1_000; run++) sample(`run${run}`, 1);
    clock.advance(1_000);
  }
  t.same(memoryOf(await history.ask(QUESTION)), [1_000, 1_000, 1_000, 1_000, 1_000], 'of a thousand runs');
  await history.close();
  t.equal(history.status().dropped, 0);
  t.match(await history.ask(QUESTION), { kind: 'unavailable' });
  sample('late', 1);
});

t.test('a worker that is behind costs nobody time: readings are dropped and counted', async (t) => {
  const { history, sample, clock } = made(t);
  // This thread never waits in between, so that no buffer can come back.
  for (let n = 0; n < 30_000; n++) sample('run', n);
  clock.advance(1_000);
  t.ok(history.status().dropped > 0);
  t.ok(history.status().dropped < 30_000);
  await waitFor('the buffers to come back', async () => {
    sample('run', 5);
    clock.advance(1_000);
    const answer = await history.ask(QUESTION);
    return answer.kind === 'document' && memoryOf(answer).includes(5);
  });
});

t.test('runs that are quiet give their places back', async (t) => {
  const { history, clock, sample } = made(t);
  sample('a', 1);
  await history.ask(QUESTION);
  clock.advance(200_000);
  sample('b', 2);
  await history.ask(QUESTION);
  clock.advance(1_000);
  sample('a', 4);
  sample('c', 8);
  clock.advance(1_000);
  t.same(memoryOf(await history.ask(QUESTION)), [1, 2, 12]);
});

t.test('calls are added up', async (t) => {
  const { history } = made(t);
  const one = { calls: 1, failures: 0, durationMs: 4, maxMs: 4, cpuTimeMs: 1, sharedCpuTimeMs: 0, unmeasured: 0 };
  for (let n = 0; n < 3_000; n++)
    history.call({ tool: 'docs', context: `c${n % 2}`, method: 'tools/call', name: `n${n}` }, one);
  const answer = await history.ask(QUESTION);
  if (answer.kind !== 'document') throw new Error(JSON.stringify(answer));
  const { calls, contexts } = answer.document.totals;
  t.equal(
    calls.reduce((sum, { calls: count }) => sum + count, 0),
    3_000,
  );
  t.equal(
    contexts.reduce((sum, { calls: count }) => sum + count, 0),
    3_000,
  );
  t.equal(calls[0]?.method, '', 'more than can be told apart within a second are added up');
});

t.test('where there can be no file it is told once, and the daemon goes on', async (t) => {
  const folder = temporaryDirectory(t);
  writeFileSync(join(folder, 'file'), '');
  const { history, sample, notes, clock } = made(t, join(folder, 'file', 'history.db'));
  for (let n = 0; n < 5; n++) {
    sample('run', n);
    clock.advance(1_000);
    t.match(await history.ask(QUESTION), { kind: 'unavailable', reason: /ENOTDIR/ });
  }
  t.match(history.status(), { state: 'paused', reason: /ENOTDIR/ });
  t.equal(notes.length, 1);
  await history.close();
});

type Thread = NonNullable<HistoryOptions['thread']>;

const ownThread = (workerData: Parameters<Thread>[0], heapMiB = 256): Worker =>
  new Worker(new URL('../../../../lib/observe/history/worker.js', import.meta.url), {
    workerData,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMiB, maxYoungGenerationSizeMb: 4 },
  });

t.test('no thread left on the host: the daemon goes on, says so once, and tries again later', async (t) => {
  let [isFull, tries] = [true, 0];
  const { history, clock, notes, sample } = made(t, undefined, (start) => {
    tries += 1;
    if (isFull) throw new Error('ERR_WORKER_INIT_FAILED: EAGAIN');
    return ownThread(start);
  });
  sample('run', 1);
  t.match(await history.ask(QUESTION), { kind: 'unavailable', reason: /EAGAIN/ });
  t.match(history.status(), { state: 'failed', reason: /EAGAIN/, dropped: 1 });
  sample('run', 1);
  t.match(await history.ask(QUESTION), { kind: 'unavailable', reason: /EAGAIN/ });
  t.equal(tries, 1, 'not at each reading');
  clock.advance(11_000);
  sample('run', 1);
  t.match(await history.ask(QUESTION), { kind: 'unavailable' });
  clock.advance(11_000);
  sample('run', 1);
  t.equal(tries, 2, 'later each time');
  t.equal(notes.length, 1);
  isFull = false;
  clock.advance(11_000);
  sample('run', 3);
  clock.advance(1_000);
  t.same(memoryOf(await history.ask(QUESTION)), [3]);
  t.match(history.status(), { state: 'on', dropped: 4 });
});

t.test('a thread that dies is replaced, and its runs go on', async (t) => {
  const threads: Worker[] = [];
  const { history, clock, notes, sample } = made(t, undefined, (start) => {
    const thread = ownThread(start);
    threads.push(thread);
    return thread;
  });
  sample('a', 1);
  sample('b', 2);
  clock.advance(1_000);
  t.same(memoryOf(await history.ask(QUESTION)), [3]);
  const waiting = history.ask(QUESTION);
  await threads[0]?.terminate();
  t.match(await waiting, { kind: /unavailable|document/ });
  await waitFor('its end to be seen', () => Promise.resolve(history.status().state === 'failed'));
  t.equal(notes.filter(({ level }) => level === 'error').length, 1);
  history.call(
    { tool: 'docs', context: 'c', method: 'tools/call', name: 'n' },
    { calls: 1, failures: 0, durationMs: 4, maxMs: 4, cpuTimeMs: 1, sharedCpuTimeMs: 0, unmeasured: 0 },
  );
  clock.advance(60_000);
  sample('b', 20);
  sample('a', 10);
  sample('c', 400);
  clock.advance(1_000);
  const answer = await history.ask(QUESTION);
  t.same(memoryOf(answer), [3, 430]);
  t.equal(answer.kind === 'document' && answer.document.totals.calls[0]?.calls, 1, 'no call is lost');
  const one = await history.ask({ ...QUESTION, run: 'a' });
  t.same(memoryOf(one), [1, 10], 'places are not mixed up');
});

t.test('a thread whose heap is too small for a question dies of it alone, and another one answers', async (t) => {
  const first = made(t);
  first.sample('run', 1);
  first.clock.advance(1_000);
  t.same(memoryOf(await first.history.ask(QUESTION)), [1]);
  await first.history.close();
  const minutes = 7_000;
  fillMinutes(first.path, 6, minutes, START_S);
  let threads = 0;
  const { history, clock, notes, sample } = made(t, first.path, (start) => {
    threads += 1;
    // Enough for all that the worker does but for one step out of 42,000 rows with seven values each.
    return ownThread(start, threads === 1 ? 16 : 256);
  });
  clock.advance(5_000);
  sample('run', 2);
  clock.advance(1_000);
  t.same(memoryOf(await history.ask(QUESTION)), [1, 2], 'so small a heap is enough for what is usual');
  const dying = history.ask({
    ...QUESTION,
    tool: 'many',
    fromS: START_S - minutes * 60,
    toS: START_S,
    stepS: 30 * 86_400,
  });
  sample('run', 3);
  t.match(await dying, { kind: 'unavailable', reason: /memory/ });
  t.match(history.status(), { state: 'failed', reason: /memory/, dropped: 1 }, 'with what was not written yet');
  for (let second = 0; second < 5; second++) {
    clock.advance(1_000);
    sample('run', 4);
  }
  t.match(await history.ask(QUESTION), { kind: 'unavailable', reason: /memory/ });
  t.match(history.status(), { state: 'failed', dropped: 1 + 5 }, 'nobody waits for it, and what is lost is counted');
  t.equal(threads, 1);
  t.match(notes, [
    { level: 'error', fields: { reason: /memory/ }, message: /^there is no history for now: tools are/ },
  ]);
  clock.advance(10_000);
  sample('run', 5);
  clock.advance(1_000);
  t.same(memoryOf(await history.ask(QUESTION)), [1, 2, 5]);
  t.equal(threads, 2);
  t.match(history.status(), { state: 'on', reason: null, dropped: 6 });
  t.equal(notes.length, 1);
});

t.test('a thread that hangs does not keep the daemon', async (t) => {
  const { history, sample } = made(
    t,
    undefined,
    () =>
      new Worker(
        'setInterval(() => undefined, 1e6); require("node:worker_threads").parentPort.on("message", () => undefined)',
        { eval: true },
      ),
  );
  sample('run', 1);
  void history.ask(QUESTION);
  await t.resolves(history.close());
  t.match(await history.ask(QUESTION), { kind: 'unavailable' }, 'and is over');
});
