import t from 'tap';
import { fakePostMortem } from '../../../helpers/fake-post-mortem.ts';
import { overUnix, serve } from './serve.ts';

t.test('what is kept of failures: of all, of one tool, and one by itself', async (t) => {
  const served = await serve(t);
  const get = (path: string) => overUnix(served, path);
  const all = await get('/v1/post-mortems');
  t.equal(all.status, 200);
  t.match(all.json, {
    postMortems: [
      {
        id: 'failedrun1',
        tool: 'echo',
        livedMs: 120_000,
        reason: 'limit',
        message: /^stopped: memory/,
        recovery: 'restart',
      },
      { id: 'failedrun0' },
      { id: 'other', tool: 'gone' },
    ],
  });
  t.notMatch(all.text, /snapshot/, 'a list is short');
  t.equal(((await get('/v1/post-mortems?limit=1')).json['postMortems'] as unknown[]).length, 1);
  t.match((await get('/v1/tools/echo/post-mortems')).json, {
    tool: 'echo',
    postMortems: [{ id: 'failedrun1' }, { id: 'failedrun0' }],
  });
  t.match((await get('/v1/tools/gone/post-mortems')).json, { postMortems: [{ id: 'other' }] }, 'of one that is gone');
  t.match((await get('/v1/tools/na%C3%AFve%20tool/post-mortems')).json, { postMortems: [] });
  const one = await get('/v1/tools/echo/post-mortems/failedrun1');
  t.strictSame(one.json, JSON.parse(JSON.stringify(fakePostMortem())), 'nothing of it is left out');
});

t.test('what there is not, and what is not asked well', async (t) => {
  const served = await serve(t);
  for (const [path, status, code] of [
    ['/v1/tools/ecko/post-mortems', 404, 'unknown_tool'],
    ['/v1/tools/a%2Fb/post-mortems', 400, 'invalid_name'],
    ['/v1/tools/echo/post-mortems/nosuchrun1', 404, 'unknown_run'],
    ['/v1/tools/echo/post-mortems/..%2F..%2Ftoken', 404, 'unknown_run'],
    ['/v1/post-mortems?limit=0', 400, 'invalid_request'],
    ['/v1/post-mortems?tool=echo', 400, 'invalid_request'],
    ['/v1/tools/echo/post-mortems?limit=x', 400, 'invalid_request'],
  ] as const)
    t.match(await overUnix(served, path), { status, json: { code } }, path);
});
