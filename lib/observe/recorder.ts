/** One record() for everything worth recording; sinks take it from there. */

import type { AuditRecord } from '../core/audit-record.ts';

/** A sink never throws into its caller and never makes it wait for a disk. */
export interface Sink {
  write(record: AuditRecord): void;
}

export interface Recorder {
  record(record: AuditRecord): void;
}

export function createRecorder(sinks: readonly Sink[]): Recorder {
  return {
    record(record) {
      for (const sink of sinks) sink.write(record);
    },
  };
}
