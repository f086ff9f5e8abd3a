import t from 'tap';

import { notDelegated, unitOfPath } from '../../../../lib/os/systemd-scope/delegation.ts';
import { UserManager } from '../../../../lib/os/systemd-scope/manager.ts';

t.test('the unit of a path', async (t) => {
  const cases = [
    ['/', null],
    ['/docker/4f1a', null],
    ['/system.slice/governor.service', { name: 'governor.service', user: false }],
    ['/system.slice/governor.service/supervisor', { name: 'governor.service', user: false }],
    ['/user.slice/user-1000.slice/session-3.scope', { name: 'session-3.scope', user: false }],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope', { name: 'run-r1.scope', user: true }],
    ['/user.slice/user-1000.slice/user@1000.service', { name: 'user@1000.service', user: false }],
  ] as const;
  for (const [path, unit] of cases) t.same(unitOfPath(path), unit, path);
});

t.test('outside of systemd there is nobody to ask', async (t) => {
  t.equal(await notDelegated('/sys/fs/cgroup/docker/4f1a', {}), null);
});

t.test('no user manager, with the reason', async (t) => {
  t.match(UserManager.find({ PATH: '/nowhere' }, 1000), /busctl/);
  t.match(UserManager.find({}, 1000), /busctl/);
});
