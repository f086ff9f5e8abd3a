import t from 'tap';
import { describeUsage, formatAmount } from '../../../lib/core/message.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';

t.test('one sentence for each resource', async (t) => {
  const MIB = 1024 ** 2;
  t.same(
    [
      describeUsage('memory', 412 * MIB, 256 * MIB, 412 / 256),
      describeUsage('cpu', 95.4, 100, 0.954),
      describeUsage('file_handles', 1_100, 1_024, 1_100 / 1_024),
      describeUsage('sockets', 17, 16, 17 / 16),
      describeUsage('runtime', 330_000, 300_000, 1.1),
      describeUsage('temp_storage', 1.5 * 1024 * MIB, 1024 * MIB, 1.5),
      describeUsage('tasks', 1_536, 1_024, 1.5),
    ],
    [
      'memory 412 MiB is 161 % of its limit of 256 MiB',
      'CPU 95 % is 95 % of its limit of 100 %',
      'open files 1100 is 107 % of its limit of 1024',
      'sockets 17 is 106 % of its limit of 16',
      'runtime 5m30s is 110 % of its limit of 5m',
      'temporary storage 1.5 GiB is 150 % of its limit of 1 GiB',
      'tasks 1536 is 150 % of its limit of 1024',
    ],
  );
});

t.test('every resource has its unit', async (t) => {
  t.same(
    RESOURCES.map((resource) => formatAmount(resource, 2_048)),
    ['2 KiB', '2048 %', '2048', '2048', '2s', '2 KiB', '2048'],
  );
});
