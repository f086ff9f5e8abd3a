import t from 'tap';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { GROUPS_TELLING } from '../../../../daemon/cli/left-groups.ts';
import { leftTemp, TEMP_TELLING } from '../../../../daemon/cli/left-temp.ts';
import { judgeLeftovers, leftoversDocument, quoted } from '../../../../daemon/cli/leftovers.ts';
import { temporaryDirectory } from '../../../helpers/temp-directory.ts';

const judge = (left: Parameters<typeof judgeLeftovers>[0]) => judgeLeftovers(left, GROUPS_TELLING);

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

t.test('of many only the first are shown, and the document has all', async (t) => {
  const dead = Array.from({ length: 34 }, (_, index) => `/cg/governor-${index}`);
  const { detail } = judge({ dead, unknown: [] });
  t.equal(
    detail,
    '34 empty, of daemons that are gone: /cg/governor-0 /cg/governor-1 /cg/governor-2 and 31 more; the next daemon that starts beside them removes them, or: the command is in governor doctor --json',
  );
  t.same(leftoversDocument({ dead, unknown: [] }, GROUPS_TELLING), {
    dead: { paths: dead, remove: `find ${dead.join(' ')} -depth -type d -exec rmdir {} +` },
    unknown: { paths: [], remove: null },
  });
});

t.test('what runs have left in a temp root', async (t) => {
  const root = temporaryDirectory(t);
  const at = (name: string): string => join(root, name);
  // A socket file stays where the process that listened was killed.
  const killed = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  for (const run of ['dead', 'lonely']) spawnSync(process.execPath, ['-e', killed, at(`${run}.sock`)]);
  mkdirSync(at('dead'));
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(at('alive.sock'), resolve));
  t.teardown(() => server.close());
  for (const name of ['alive', 'starting', 'old', 'not-a-run']) mkdirSync(at(name));
  writeFileSync(at('file'), '');
  const nowMs = Date.now();
  for (const name of ['old', 'file', 'alive']) utimesSync(at(name), 0, (nowMs - 2 * 3_600_000) / 1000);
  const left = await leftTemp([root, at('absent'), at('file')], nowMs);
  t.same(left.dead.toSorted(), [at('dead'), at('dead.sock'), at('lonely.sock')].toSorted());
  t.same(left.unknown, [at('old')]);
  const { remove } = leftoversDocument(left, TEMP_TELLING)['dead'] as { readonly remove: string };
  t.equal(spawnSync('sh', ['-c', remove]).status, 0);
  t.same((await leftTemp([root], nowMs)).dead, []);
  t.match(judgeLeftovers(left, TEMP_TELLING).detail, /^3 directories and sockets of runs, .*; 1 directories of runs/);
});
