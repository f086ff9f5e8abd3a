/** What is recorded is also told: every audit record becomes an event of the stream. */

import type { AuditRecord } from '../lib/core/audit-record.ts';
import type { EventHub } from '../lib/observe/events.ts';
import type { Sink } from '../lib/observe/recorder.ts';

export function createEventSink(hub: EventHub): Sink {
  return {
    write(record: AuditRecord) {
      const { kind, ...data } = record;
      hub.publish({
        type: kind,
        tool: 'tool' in record ? (record.tool ?? null) : null,
        run: 'run' in record ? (record.run ?? null) : null,
        data,
      });
    },
  };
}
