import t from 'tap';
import { usageWithReason } from '../../../../daemon/cli/values.ts';
import type { ResourceUsageView } from '../../../../lib/supervisor/views.ts';

t.test('a reading that is not there says why', async (t) => {
  const usage: ResourceUsageView = {
    resource: 'memory',
    unit: 'bytes',
    usage: null,
    limit: 1,
    ratio: null,
    stage: 'normal',
    quality: 'gone',
    enforcement: 'kernel',
    at: null,
  };
  t.equal(usageWithReason({ ...usage, usage: 1024 }, 'active'), '1 KiB');
  t.equal(usageWithReason(usage, 'registered'), 'n/a (asleep)');
  t.equal(usageWithReason(usage, 'active'), 'n/a (the processes are gone)');
  t.equal(usageWithReason(usage, null), 'n/a (the processes are gone)', 'of one run');
  t.equal(usageWithReason({ ...usage, quality: 'exact' }, 'registered'), 'n/a (not read yet)');
  t.equal(usageWithReason({ ...usage, quality: 'unsupported', unsupported: 'EACCES' }, 'registered'), 'n/a (EACCES)');
});
