/** What this host lacks is said once at start, with the way to get it; nothing fails later for a reason known now. */

import type { HostReport } from '../lib/os/backend.ts';
import type { Log } from '../lib/supervisor/ports.ts';

export function selftest(report: HostReport, log: Log): void {
  log.info({ backend: report.backend, kernel: report.kernel, native: report.native.detail }, 'containment chosen');
  for (const { resource, enforcement, enforcedBy, toGetMore } of report.capabilities) {
    if (enforcement !== 'none' && enforcement !== 'observed') continue;
    log.warn({ resource, enforcement, enforcedBy, toGetMore }, `${resource} is not enforced by more than looking`);
  }
  if (!report.native.available)
    log.warn({ detail: report.native.detail }, 'native calls are missing: some limits are less exact');
}
