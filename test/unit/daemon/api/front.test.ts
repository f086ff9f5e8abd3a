import t from 'tap';
import { overTcp, overUnix, serveUnloaded } from './serve.ts';
import type { Answer } from './serve.ts';
import { pause, waitFor } from '../../../helpers/wait-for.ts';

/** But for the clock. */
function without({ headers: { date: _date, ...headers }, status, text }: Answer): object {
  return { status, text, headers };
}

t.test('the probes answer the same before the router is loaded and after', async (t) => {
  for (const isReady of [true, false]) {
    const served = await serveUnloaded(t, { ready: () => ({ ready: isReady, detail: 'as it is' }) });
    const before = [await overUnix(served, '/readyz'), await overUnix(served, '/healthz')];
    t.match(before, [{ status: isReady ? 200 : 503 }, { status: 200, json: { status: 'ok' } }]);
    await served.front.router();
    const after = [await overUnix(served, '/readyz'), await overUnix(served, '/healthz')];
    t.same(before.map(without), after.map(without));
  }
});

t.test('anything else loads the router and is answered by it', async (t) => {
  const asked: readonly (readonly [string, (served: Awaited<ReturnType<typeof serveUnloaded>>) => Promise<Answer>])[] =
    [
      ['a route', (served) => overUnix(served, '/v1/tools')],
      [
        'a body that arrives meanwhile',
        (served) => overUnix(served, '/v1/tools', { method: 'POST', json: { name: 'x' } }),
      ],
      [
        'a probe of a foreign host',
        (served) => overTcp(served, '/healthz', { headers: { host: 'elsewhere.example' } }),
      ],
      ['another method', (served) => overUnix(served, '/healthz', { method: 'POST', json: {} })],
      ['nothing there', (served) => overUnix(served, '/nowhere')],
    ];
  const statuses = [200, 201, 403, 405, 404];
  for (const [index, [name, ask]] of asked.entries()) {
    const served = await serveUnloaded(t);
    const first = await ask(served);
    t.equal(first.status, statuses[index], name);
    t.same((await ask(served)).status, name.startsWith('a body') ? 409 : first.status, `${name}, again`);
  }
});

t.test('many at once load it once', async (t) => {
  const served = await serveUnloaded(t);
  const answers = await Promise.all(Array.from({ length: 20 }, () => overUnix(served, '/v1/tools')));
  t.same(
    answers.map(({ status }) => status),
    answers.map(() => 200),
  );
  t.equal(await served.front.router(), await served.front.router());
});

t.test('it is loaded after a while though nobody asks, or not at all where the daemon ends before', async (t) => {
  const served = await serveUnloaded(t);
  served.front.loadAfter(1);
  await waitFor('the router', () => served.logged.some((line) => line.includes('the API is loaded')));
  t.equal((await overUnix(served, '/v1/tools')).status, 200);
  t.equal(served.logged.filter((line) => line.includes('the API is loaded')).length, 1);
  const second = await serveUnloaded(t);
  second.front.loadAfter(50);
  await second.front.close();
  await pause(100);
  t.same(second.logged, []);
});

t.test('a front that closes before anybody asked, or while the router is being loaded', async (t) => {
  const first = await serveUnloaded(t);
  await first.front.close();
  await t.rejects(overUnix(first, '/healthz'), 'nobody listens');
  const second = await serveUnloaded(t);
  const asked = overUnix(second, '/v1/tools').then(
    ({ status }) => status,
    () => 'broken off',
  );
  const loading = second.front.router();
  const closed = second.front.close();
  t.ok(['broken off', 503].includes(await asked), 'refused');
  await closed;
  await loading;
});
