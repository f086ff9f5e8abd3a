import { existsSync, mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';

import type { Containment, ContainmentRecord } from '../../lib/os/backend.ts';
import { NO_LIMITS } from '../../lib/core/limits.ts';
import { cgroupBenches, emptied, endAll, limitsOf } from '../helpers/cgroup-backends.ts';
import { startGated } from '../helpers/gated.ts';
import { isGovernorError } from '../helpers/governor-error.ts';
import { isAlive, survivorsAfter } from '../helpers/survivors.ts';

for (const bench of await cgroupBenches()) {
  t.test(`${bench.id}: a later daemon takes up a run from its record`, async (t) => {
    const run = await bench.create(t, limitsOf({ memory: 2 ** 29, tasks: 50 }));
    const tool = startGated(t, 'open-files', { args: ['--count=30'] });
    await run.attach(tool.identity);
    tool.go();
    await tool.said('ready');
    const record = JSON.parse(JSON.stringify(run.record)) as ContainmentRecord;
    t.match(record, { backend: bench.id, cookie: /^[0-9a-z]{10}$/ });
    run.close();

    const later = await bench.reopen();
    const adopted = await later.adopt(record, limitsOf({ memory: 2 ** 28, tasks: 60 }), run.tempDir);
    if (adopted === null) throw new Error('not adopted');
    const { pid, startTicks } = tool.identity;
    t.same(adopted.record, record);
    t.same(adopted.membership.members(), [{ pid, startTicks }]);
    const sample = adopted.usage.sample(performance.now(), true);
    t.ok(sample.fileHandles.kind === 'measured' && sample.fileHandles.value >= 30);
    t.ok(isAlive(tool.identity));
    await endAll(adopted);
    adopted.close();
    t.same(await survivorsAfter(tool.marker, 1000), []);
    t.same(
      record.directories.filter(({ path }) => existsSync(path)),
      [],
    );
    t.equal(await later.adopt(record, NO_LIMITS, run.tempDir), null, 'gone is null');
    await later.close();
  });

  t.test(`${bench.id}: a group of the same name is not the group`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    const { directories } = run.record;
    const wrong = { ...run.record, directories: directories.map((one) => ({ ...one, inode: one.inode + 1 })) };
    t.equal(await bench.backend.adopt(wrong, NO_LIMITS, run.tempDir), null);
    const elsewhere = directories.map((one) => ({ ...one, path: run.tempDir, inode: statSync(run.tempDir).ino }));
    t.equal(
      await bench.backend.adopt({ ...run.record, directories: elsewhere }, NO_LIMITS, run.tempDir),
      null,
      'no cgroup',
    );
    t.equal(
      await bench.backend.adopt({ ...run.record, directories: [] }, NO_LIMITS, run.tempDir),
      null,
      'no directory',
    );
    t.ok(isAlive(tool.identity));
  });

  t.test(`${bench.id}: a name that is taken is refused`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    const request = { runId: run.record.cookie, tool: 'second', limits: NO_LIMITS, tempDir: run.tempDir };
    await t.rejects(bench.backend.create(request), isGovernorError('launch_failed'));
    t.ok(isAlive(tool.identity), 'nobody in it was touched');
    const { pid, startTicks } = tool.identity;
    t.same(run.membership.members(), [{ pid, startTicks }]);
    await run.killer.kill();
    await emptied(run);

    const [first] = run.record.directories;
    if (first === undefined) throw new Error('no directory');
    const second = await bench.backend.create(request);
    t.same(second.membership.members(), [], 'an empty leftover is replaced');
    t.not(second.record.directories[0]?.inode, first.inode, 'by a new group');
    await second.remove(1000);
    second.close();
  });

  t.test(`${bench.id}: a crash in the middle of a removal`, async (t) => {
    const run = await bench.create(t);
    const { directories } = run.record;
    if (directories.length < 2) {
      t.pass('one directory: it is there or not');
      return;
    }
    const [first, ...others] = directories;
    rmdirSync(first?.path ?? '');
    const adopted = await bench.backend.adopt(run.record, NO_LIMITS, run.tempDir);
    if (adopted === null) throw new Error('not adopted');
    t.same(adopted.record.directories, others);
    await adopted.remove(1000);
    adopted.close();
    t.same(leftOf(run), []);
  });

  t.test(`${bench.id}: the top directories stay while a run is in them`, async (t) => {
    const later = await bench.reopen();
    const run = await bench.create(t);
    await later.close();
    t.same(leftOf(run).length, run.record.directories.length);
    const [first] = run.record.directories;
    mkdirSync(`${dirname(first?.path ?? '')}/other`);
    await later.close();
    rmdirSync(`${dirname(first?.path ?? '')}/other`);
  });
}

function leftOf(run: Containment): readonly string[] {
  return run.record.directories.map(({ path }) => path).filter((path) => existsSync(path));
}
