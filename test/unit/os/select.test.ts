import t from 'tap';

import { err, ok } from '../../../lib/core/result.ts';
import { type Backend, BACKEND_IDS, type BackendId } from '../../../lib/os/backend.ts';
import { type Candidate, choose, ORDER, selectBackend } from '../../../lib/os/select.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

interface Seen {
  readonly opened: BackendId[];
  readonly closed: BackendId[];
}

function candidates(usable: readonly BackendId[]): readonly [readonly Candidate[], Seen] {
  const seen: Seen = { opened: [], closed: [] };
  const make = (id: BackendId): Candidate => ({
    id,
    open: async () => {
      seen.opened.push(id);
      if (!usable.includes(id)) return err(`no ${id} here`);
      const backend = { id, close: async () => void seen.closed.push(id) } as Partial<Backend> as Backend;
      return ok({ backend, detail: `${id} works` });
    },
  });
  return [ORDER.map(make), seen];
}

t.test('every backend has its place', async (t) => {
  t.same(ORDER.toSorted(), BACKEND_IDS.toSorted());
});

t.test('the first usable one is taken, and later ones are left alone', async (t) => {
  const [list, seen] = candidates(['cgroup1', 'procfs']);
  const { backend, probes } = await choose(list, {});
  t.equal(backend.id, 'cgroup1');
  t.same(seen.opened, ['cgroup2', 'cgroup1']);
  t.same(probes, [
    { backend: 'cgroup2', usable: false, reason: 'no cgroup2 here' },
    { backend: 'cgroup1', usable: true, reason: 'cgroup1 works' },
  ]);
});

t.test('on request all are tried, and the others are closed again', async (t) => {
  const [list, seen] = candidates(['cgroup1', 'pidns', 'procfs']);
  const { backend, probes } = await choose(list, { probeAll: true });
  t.equal(backend.id, 'cgroup1');
  t.same(
    probes.map((probe) => probe.backend),
    ORDER,
  );
  t.same(seen.closed, ['pidns', 'procfs']);
});

t.test('a forced one is taken although a better one is there', async (t) => {
  const [list, seen] = candidates(['cgroup2', 'procfs']);
  t.equal((await choose(list, { forced: 'procfs' })).backend.id, 'procfs');
  t.same(seen.opened, ['procfs']);
  const [again, seenAgain] = candidates(['cgroup2', 'procfs']);
  t.equal((await choose(again, { forced: 'procfs', probeAll: true })).backend.id, 'procfs');
  t.same(seenAgain.closed, ['cgroup2']);
});

t.test('a forced one that cannot be used fails with the reason of its probe', async (t) => {
  const [list] = candidates(['cgroup1']);
  const error = { ...isGovernorError('unsupported'), message: 'backend cgroup2 cannot be used: no cgroup2 here' };
  await t.rejects(choose(list, { forced: 'cgroup2' }), error);
});

t.test('none at all', async (t) => {
  const [list] = candidates([]);
  await t.rejects(choose(list, {}), {
    ...isGovernorError('unsupported'),
    message: /cgroup2: no cgroup2 here; .*portable: no portable here/,
  });
});

t.test('the instance becomes part of paths', async (t) => {
  for (const instance of ['', 'a/b', '..', 'a b', 'x'.repeat(33), 'a.scope']) {
    await t.rejects(selectBackend({ instance, tempRoot: '/tmp' }), isGovernorError('invalid_request'));
  }
});

t.test('this host', { skip: process.platform !== 'linux' && 'needs Linux' }, async (t) => {
  const { backend, report } = await selectBackend({ forced: 'procfs', instance: 'test-select', tempRoot: '/tmp' });
  t.teardown(async () => backend.close());
  t.equal(report.backend, 'procfs');
  t.equal(report.capabilities.length, 7);
  t.match(report.bootId, /^[0-9a-f-]{36}$/);
  t.ok(report.kernel.length > 0);
  t.type(report.native.detail, 'string');
});
