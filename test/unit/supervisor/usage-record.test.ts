import t from 'tap';
import { GONE, measured, unsupported } from '../../../lib/core/usage.ts';
import type { RunSample } from '../../../lib/os/backend.ts';
import { RecordBuilder } from '../../../lib/supervisor/usage-record.ts';

function sample(atMs: number, overrides: Partial<RunSample> = {}): RunSample {
  return {
    atMs,
    populated: true,
    memory: measured(100, 'cgroup', atMs),
    cpuTimeMs: measured(0, 'cgroup', atMs),
    fileHandles: measured(3, 'exact', atMs),
    sockets: unsupported('EACCES'),
    tempStorage: measured(0, 'exact', atMs),
    tasks: measured(1, 'cgroup', atMs),
    oomKills: 0,
    cpuThrottledMs: 0,
    memoryStallMs: null,
    ...overrides,
  };
}

t.test('readings pass as they are; runtime is the age of the run', async (t) => {
  const builder = new RecordBuilder('run', (atMs) => atMs - 1_000, 4);
  const record = builder.build(sample(3_500), false);
  t.match(record, { runId: 'run', atMs: 3_500, stalled: false });
  t.same(record.readings.memory, measured(100, 'cgroup', 3_500));
  t.same(record.readings.sockets, unsupported('EACCES'));
  t.same(record.readings.runtime, measured(2_500, 'exact', 3_500));
  t.match(builder.build(sample(500), true), { stalled: true, readings: { runtime: { value: 0 } } }, 'never negative');
});

t.test('the rate of CPU needs two samples, keeps their quality, and says what it cannot tell', async (t) => {
  const builder = new RecordBuilder('run', (atMs) => atMs, 4);
  t.match(builder.build(sample(1_000, { cpuTimeMs: measured(500, 'rss-sum', 1_000) }), false).readings.cpu, {
    kind: 'unsupported',
    reason: 'a rate needs two samples',
  });
  t.same(
    builder.build(sample(2_000, { cpuTimeMs: measured(1_250, 'rss-sum', 1_990) }), false).readings.cpu.kind,
    'measured',
  );
  t.same(builder.build(sample(3_000, { cpuTimeMs: GONE }), false).readings.cpu, GONE);
  t.same(
    builder.build(sample(4_000, { cpuTimeMs: unsupported('no controller') }), false).readings.cpu,
    unsupported('no controller'),
  );
  t.match(builder.build(sample(5_000, { cpuTimeMs: measured(2_500, 'cgroup', 5_000) }), false).readings.cpu, {
    value: 50,
    quality: 'cgroup',
    atMs: 5_000,
  });
});

t.test('what the kernel counts for ever becomes what happened since the record before', async (t) => {
  const builder = new RecordBuilder('run', (atMs) => atMs, 4);
  const kernel = (atMs: number, oomKills: number, cpuThrottledMs: number, memoryStallMs: number | null) =>
    builder.build(sample(atMs, { oomKills, cpuThrottledMs, memoryStallMs }), false).kernel;
  t.same(kernel(1_000, 1, 400, 50), { oomKills: 1, cpuThrottledMs: 100, memoryStall: null }, 'throttling is per CPU');
  t.same(kernel(2_000, 1, 400, 250), { oomKills: 0, cpuThrottledMs: 0, memoryStall: 0.2 });
  t.same(
    kernel(3_000, 3, 4_400, 5_250),
    { oomKills: 2, cpuThrottledMs: 1_000, memoryStall: 1 },
    'never more than all of the time',
  );
  t.same(kernel(4_000, 0, 0, null), { oomKills: 0, cpuThrottledMs: 0, memoryStall: null }, 'never negative');
  t.same(kernel(5_000, 0, 0, 10).memoryStall, null);
  t.same(kernel(5_000, 0, 0, 20).memoryStall, null, 'no time has passed');
});

t.test('a look in between leaves the events of the kernel for the next record', async (t) => {
  const builder = new RecordBuilder('run', (atMs) => atMs, 1);
  builder.build(sample(1_000), false);
  builder.readings(sample(1_500, { oomKills: 2 }));
  t.equal(builder.build(sample(2_000, { oomKills: 2 }), false).kernel.oomKills, 2);
  t.equal(builder.build(sample(3_000, { oomKills: 3, memoryPeakBytes: 7 }), false).kernel.memoryPeakBytes, 7);
});
