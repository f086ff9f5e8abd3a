import t from 'tap';

import { NO_LIMITS } from '../../lib/core/limits.ts';
import type { Reading } from '../../lib/core/usage.ts';
import type { Containment } from '../../lib/os/backend.ts';
import { cgroupBenches, endAll } from '../helpers/cgroup-backends.ts';
import { startGated } from '../helpers/gated.ts';
import { patience, pause, waitFor } from '../helpers/wait-for.ts';

/** The clock goes on while a turn lasts: a look says by its time which read it goes by. */
const LATER_MS = 1;

for (const bench of await cgroupBenches()) {
  t.test(`${bench.id}: idle by one read for all runs, until one of them runs`, async (t) => {
    const [first, second, third] = [await bench.create(t), await bench.create(t), await bench.create(t)];
    const runs = [first, second, third];
    const tools = runs.map(() => startGated(t, 'open-files', { args: ['--count=30'] }));
    for (const [at, tool] of tools.entries()) await runs[at]?.attach(tool.identity);
    await waitFor('three tools that wait at their gate', () => {
      const looks = lookAtAll(runs);
      return looks.every(({ isStill, sinceTurnMs }) => isStill && sinceTurnMs === 0);
    });
    const before = fileHandles(second);

    tools[1]?.go();
    await tools[1]?.said('ready');
    const seen = lookAtAll(runs);
    t.notOk(seen[1]?.isStill, 'who has run is looked at, the very next time');
    t.ok(fileHandles(second) >= before + 30, `${fileHandles(second)} file handles after ${before}`);
    t.same([seen[0]?.isStill, seen[2]?.isStill], [true, true], 'the others have not run');
    t.same([seen[0]?.sinceTurnMs, seen[2]?.sinceTurnMs], [0, 2 * LATER_MS], 'which only their own counters could tell');
  });

  t.test(`${bench.id}: a second look in the same turn sees what the first could not`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'idle');
    await run.attach(tool.identity);
    await waitFor('a tool that waits at its gate', () => run.usage.sample(performance.now()).still === true);
    await pause(1);
    const nowMs = performance.now();
    t.equal(run.usage.sample(nowMs).still, true);
    process.kill(tool.identity.pid, 'SIGKILL');
    // No turn of the event loop: the read that the look before went by must not be believed again.
    t.ok(endIsSeen(run, nowMs), 'its end is seen');
  });

  t.test(`${bench.id}: the same of a run that an earlier daemon has left`, async (t) => {
    const run = await bench.create(t);
    const tool = startGated(t, 'open-files', { args: ['--count=30'] });
    await run.attach(tool.identity);
    run.close();
    const later = await bench.reopen();
    t.teardown(() => later.close());
    const adopted = await later.adopt(run.record, NO_LIMITS, run.tempDir);
    if (adopted === null) throw new Error('not adopted');
    const other = await bench.create(t);
    await waitFor('a tool that waits at its gate', () => {
      const looks = lookAtAll([other, adopted]);
      return looks[1]?.isStill === true && looks[1].sinceTurnMs === 0;
    });
    const before = fileHandles(adopted);
    tool.go();
    await tool.said('ready');
    t.equal(lookAtAll([other, adopted])[1]?.isStill, false);
    t.ok(fileHandles(adopted) >= before + 30, `${fileHandles(adopted)} file handles after ${before}`);
    await endAll(adopted);
    adopted.close();
  });
}

interface Look {
  readonly isStill: boolean;
  /** The time of its readings, after the first look of the turn. */
  readonly sinceTurnMs: number;
}

/** One pass, as the monitor makes it. */
function lookAtAll(runs: readonly Containment[]): readonly Look[] {
  // Whole milliseconds, so that differences are exact.
  const startMs = Math.floor(performance.now());
  return runs.map((run, at) => {
    const sample = run.usage.sample(startMs + at * LATER_MS);
    return { isStill: sample.still === true, sinceTurnMs: atMs(sample.fileHandles) - startMs };
  });
}

/** Looks again and again in one turn, at a time at which nothing else would make it look closer. */
function endIsSeen(run: Containment, nowMs: number): boolean {
  const giveUpMs = performance.now() + patience(10_000);
  while (performance.now() < giveUpMs) if (!run.usage.sample(nowMs).populated) return true;
  return false;
}

function fileHandles(run: Containment): number {
  const reading = run.usage.sample(performance.now()).fileHandles;
  return reading.kind === 'measured' ? reading.value : Number.NaN;
}

function atMs(reading: Reading): number {
  return reading.kind === 'measured' ? reading.atMs : Number.NaN;
}
