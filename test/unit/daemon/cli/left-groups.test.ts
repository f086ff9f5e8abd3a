import t from 'tap';
import { judge, quoted } from '../../../../daemon/cli/left-groups.ts';

t.test('what is left is told with the command that removes it', async (t) => {
  t.same(judge({ dead: [], unknown: [] }), {
    state: 'ok',
    title: 'groups',
    detail: 'none is left of daemons that were killed',
  });
  t.same(judge({ dead: ['/cg/cpu/governor-a', '/cg/memory/governor-a'], unknown: [] }), {
    state: 'warn',
    title: 'groups',
    detail:
      '2 empty, of daemons that are gone; the next daemon that starts beside them removes them, or: find /cg/cpu/governor-a /cg/memory/governor-a -depth -type d -exec rmdir {} +',
  });
  const both = judge({ dead: ['/cg/governor/a'], unknown: ["/cg/an odd 'name'/governor/b"] });
  t.equal(both.state, 'warn');
  t.match(both.detail, /^1 empty, .* \+; 1 empty, of daemons that cannot be asked from here/);
  t.ok(
    both.detail.endsWith(
      String.raw`if none of them runs: find '/cg/an odd '\''name'\''/governor/b' -depth -type d -exec rmdir {} +`,
    ),
  );
});

t.test('a path is one word of a shell', async (t) => {
  t.equal(quoted('/sys/fs/cgroup/user.slice/user@1000.service'), '/sys/fs/cgroup/user.slice/user@1000.service');
  t.equal(quoted('/a b/$(c)'), "'/a b/$(c)'");
});
