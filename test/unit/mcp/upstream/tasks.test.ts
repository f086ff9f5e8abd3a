import t from 'tap';
import { legacyServer } from '../../../helpers/fake-channel.ts';
import { errorOf, resultOf } from '../../../helpers/fake-mcp-session.ts';
import { settled } from '../../../helpers/manual-time.ts';

const task = (taskId: string, status = 'working') => ({ taskId, status });
const status = (taskId: string, now: string) => ({
  method: 'notifications/tasks/status',
  params: { taskId, status: now },
});

async function withTask() {
  const scene = await legacyServer();
  const [one, two] = [scene.join('one'), scene.join('two')];
  const call = one.begin('tools/call', { task: {}, _meta: { progressToken: 'mine' } });
  await settled(1);
  scene.channel.answer(call.request, { task: task('t1') });
  await resultOf(call.answer);
  return { ...scene, one, two, call };
}

t.test('a task is its client’s: others cannot see, await or cancel it', async (t) => {
  const { channel, one, two } = await withTask();
  for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
    t.match(await errorOf(two.begin(method, { taskId: 't1' }).answer), { code: -32_602 });
    t.same(channel.requests(method), [], `${method} was not asked`);
    const own = one.begin(method, { taskId: 't1' });
    await settled(1);
    channel.answer(own.request, { ...task('t1'), extra: 1 });
    t.same(await resultOf(own.answer), { ...task('t1'), extra: 1 });
  }
  t.match(await errorOf(two.begin('tasks/get', { taskId: 'unknown' }).answer), { code: -32_602 });
});

t.test('lists show each client its own', async (t) => {
  const { channel, one, two } = await withTask();
  const lists = [one.begin('tasks/list'), two.begin('tasks/list')];
  await settled(1);
  for (const { request } of lists) channel.answer(request, { tasks: [task('t1'), task('stray')], nextCursor: 'c' });
  t.same(await resultOf(lists[0]?.answer ?? Promise.reject(new Error())), { tasks: [task('t1')], nextCursor: 'c' });
  t.same(await resultOf(lists[1]?.answer ?? Promise.reject(new Error())), { tasks: [], nextCursor: 'c' });
});

t.test('a client that is alone may know tasks from before', async (t) => {
  const { channel, join } = await legacyServer();
  const one = join();
  const get = one.begin('tasks/get', { taskId: 'older' });
  await settled(1);
  channel.answer(get.request, task('older'));
  t.same(await resultOf(get.answer), task('older'));
  const list = one.begin('tasks/list');
  await settled(1);
  channel.answer(list.request, { tasks: [task('older'), task('other')] });
  t.same(await resultOf(list.answer), { tasks: [task('older'), task('other')] });
});

t.test('news of a task go to its client, and keep the server awake until it is over', async (t) => {
  const { channel, one, two, upstream } = await withTask();
  t.match(upstream.holds, { tasks: 1, requests: 0 });
  channel.say(status('t1', 'input_required'));
  t.match(upstream.holds, { tasks: 1 });
  channel.say(status('t1', 'completed'), status('unknown', 'working'));
  t.same(one.client.heard, [status('t1', 'input_required'), status('t1', 'completed')]);
  t.same(two.client.heard, []);
  t.match(upstream.holds, { tasks: 0 });
});

t.test('a result that was not fetched keeps the server awake while it keeps it', async (t) => {
  let nowMs = 0;
  const { channel, join, upstream } = await legacyServer({}, { monotonicMs: () => nowMs });
  const [one, two] = [join('one'), join('two')];
  const ids = ['short', 'fetched', 'failed', 'cancelled', 'for-ever', 'untold'];
  const ttls: Readonly<Record<string, unknown>> = { 'for-ever': null, untold: undefined };
  for (const id of ids) {
    const call = one.begin('tools/call', { task: {} });
    await settled(1);
    channel.answer(call.request, { task: { ...task(id), ttl: id in ttls ? ttls[id] : 60_000 } });
    await resultOf(call.answer);
  }
  t.equal(upstream.holds.tasks, 6);
  nowMs = 10_000;
  for (const id of ids) channel.say(status(id, ['failed', 'cancelled'].includes(id) ? id : 'completed'));
  t.equal(upstream.holds.tasks, 4, 'what was cancelled has no result, and nothing is known of the last');

  const given = one.begin('tasks/result', { taskId: 'fetched' });
  await settled(1);
  t.equal(upstream.holds.tasks, 4);
  given.exchange.cancel();
  await errorOf(given.answer);
  t.equal(upstream.holds.tasks, 4, 'cancelled is not fetched');
  const again = one.begin('tasks/result', { taskId: 'fetched' });
  await settled(1);
  channel.answer(again.request, { content: [] });
  await resultOf(again.answer);
  t.equal(upstream.holds.tasks, 3);
  channel.say(status('fetched', 'completed'), status('fetched', 'working'));
  t.equal(upstream.holds.tasks, 3, 'late news change nothing');

  const failed = one.begin('tasks/result', { taskId: 'failed' });
  await settled(1);
  channel.refuse(failed.request, -32_000, 'it failed');
  await errorOf(failed.answer);
  t.equal(upstream.holds.tasks, 2, 'an error of the server’s is its result');
  nowMs = 59_999;
  t.equal(upstream.holds.tasks, 2);
  nowMs = 60_000;
  t.equal(upstream.holds.tasks, 1, 'what is kept for ever stays');
  nowMs = 1e9;
  await two.session.close('gone');
  t.equal(upstream.holds.tasks, 1);
  await one.session.close('gone');
  t.equal(upstream.holds.tasks, 0, 'until its client goes');
});

t.test('a result that is waited for says that the task is over', async (t) => {
  const { channel, one, upstream } = await withTask();
  const given = one.begin('tasks/result', { taskId: 't1' });
  await settled(1);
  channel.answer(given.request, { content: [] });
  await resultOf(given.answer);
  t.match(upstream.holds, { tasks: 0 });
});

t.test('news right behind the answer that begins the task', async (t) => {
  const { channel, join } = await legacyServer();
  const [one] = [join('one'), join('two')];
  const call = one.begin('tools/call', { task: {} });
  await settled(1);
  channel.say({ id: call.request.id, result: { task: task('t2') } }, status('t2', 'completed'));
  t.same(one.client.heard, [status('t2', 'completed')]);
});

t.test('a task goes on with the progress token of its request, until it is over', async (t) => {
  const { channel, one, two, call } = await withTask();
  const progress = (token: unknown, value: number) => ({
    method: 'notifications/progress',
    params: { progressToken: token, progress: value },
  });
  channel.say(progress(call.request.id, 1));
  t.same(one.client.heard, [progress('mine', 1)]);
  t.same(call.exchange.heard, [], 'its request is over');
  channel.say(status('t1', 'failed'), progress(call.request.id, 2));
  t.same(one.client.heard.length, 2, 'and nothing after its end');
  t.same(two.client.heard, []);
});

t.test('a client that goes leaves no tasks behind', async (t) => {
  const { channel, one, two, upstream } = await withTask();
  await one.session.close('gone');
  t.match(upstream.holds, { tasks: 0 });
  channel.say(status('t1', 'completed'));
  t.same(one.client.heard, []);
  t.same(two.client.heard, []);
});

t.test('more than 10,000 tasks: the oldest are forgotten', async (t) => {
  const { channel, join, upstream } = await legacyServer();
  const one = join('one');
  const first = one.begin();
  for (let index = 1; index < 9_999; index++) void one.session.request({ method: 'tools/call' }, first.exchange);
  await settled(1);
  for (const [index, request] of channel.requests('tools/call').entries())
    channel.answer(request, { task: task(`t${index}`) });
  for (let more = 0; more < 10; more++) {
    const call = one.begin();
    await settled(1);
    channel.answer(call.request, { task: task(`more ${more}`) });
  }
  t.equal(upstream.holds.tasks, 10_000);
});
