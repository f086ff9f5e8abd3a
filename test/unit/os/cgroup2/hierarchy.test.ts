import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openSubtreeBelow } from '../../../../lib/os/cgroup2/hierarchy.ts';
import type { TestScope } from '../../../helpers/fixture.ts';

/** A plain directory stands in for a group without controllers: only names matter. */
function base(t: TestScope): string {
  const directory = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  for (const file of ['cgroup.procs', 'cgroup.subtree_control', 'cgroup.controllers'])
    writeFileSync(join(directory, file), '');
  return directory;
}

t.test('daemons that start while others end are not in the way of each other', async (t) => {
  const directory = base(t);
  const lives = async (instance: string): Promise<void> => {
    for (let life = 0; life < 100; life += 1) {
      const subtree = await openSubtreeBelow(directory, instance, []);
      if (!subtree.ok) throw new Error(subtree.error);
      await subtree.value.release();
    }
  };
  await t.resolves(Promise.all(['a', 'b', 'c', 'd'].map(lives)));
  t.notOk(existsSync(join(directory, 'governor')), 'the last one leaves nothing');
});

t.test('what was removed while it was empty is made again', async (t) => {
  const directory = base(t);
  const subtree = await openSubtreeBelow(directory, 'a', []);
  if (!subtree.ok) throw new Error(subtree.error);
  rmSync(join(directory, 'governor'), { recursive: true });
  await subtree.value.renew();
  t.same(readdirSync(join(directory, 'governor')), ['a']);
});

t.test('without a place below which to make it there is an error, not a wait', async (t) => {
  const directory = base(t);
  const subtree = await openSubtreeBelow(directory, 'a', []);
  if (!subtree.ok) throw new Error(subtree.error);
  rmSync(directory, { recursive: true });
  await t.rejects(subtree.value.renew(), { code: 'ENOENT' });
});
