import t from 'tap';
import { builtInClasses } from '../../../config/defaults.ts';
import { hostFacts } from '../../../config/host.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

t.test('memory scales with the host', async (t) => {
  const rows = [
    [64 * GIB, 256 * MIB, GIB, 4 * GIB],
    [24 * GIB, 256 * MIB, GIB, 4 * GIB],
    [8 * GIB, 256 * MIB, GIB, 2 * GIB],
    [4 * GIB, 128 * MIB, 512 * MIB, GIB],
    [GIB, 128 * MIB, 256 * MIB, 512 * MIB],
    [256 * MIB, 128 * MIB, 128 * MIB, 128 * MIB],
  ] as const;
  for (const [memoryBytes, ...expected] of rows) {
    const { light, standard, heavy } = builtInClasses({ memoryBytes, cores: 4 });
    t.same([light.memory?.limit, standard.memory?.limit, heavy.memory?.limit], expected, `${memoryBytes / MIB} MiB`);
  }
});

t.test('the reason is told', async (t) => {
  const detail = (memoryBytes: number): unknown => builtInClasses({ memoryBytes, cores: 1 }).standard.memory?.detail;
  t.equal(detail(24 * GIB), 'host memory 24 GiB / 8, at most 1 GiB');
  t.equal(detail(6 * GIB), 'host memory 6 GiB / 8');
  t.equal(detail(GIB), 'host memory 1 GiB / 8, at least 256 MiB');
  t.equal(detail(256 * MIB), 'host memory 256 MiB / 2');
});

t.test('CPU never exceeds what the host has', async (t) => {
  const cpu = (cores: number): unknown =>
    Object.values(builtInClasses({ memoryBytes: GIB, cores })).map((each) => each.cpu?.limit);
  t.same(cpu(1), [50, 100, 100]);
  t.same(cpu(8), [50, 100, 200]);
});

t.test('every class limits everything but runtime', async (t) => {
  for (const each of Object.values(builtInClasses({ memoryBytes: GIB, cores: 2 }))) {
    t.same(Object.keys(each).sort(), ['cpu', 'file_handles', 'memory', 'sockets', 'tasks', 'temp_storage']);
  }
});

t.test('the facts of this host', async (t) => {
  const facts = hostFacts();
  t.ok(facts.memoryBytes > 16 * MIB);
  t.ok(Number.isInteger(facts.cores) && facts.cores >= 1);
});
