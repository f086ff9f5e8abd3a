/** What the daemon wrote down, as a test asks for it. */

import type { RunningDaemon } from './daemon.ts';

// Records of many shapes: the assertions say which.
// oxlint-disable-next-line typescript/no-explicit-any
export type AuditEntry = any;

/** Entries of a tool, oldest first; all kinds, or one. */
export async function auditOf(daemon: RunningDaemon, tool: string, kind?: string): Promise<readonly AuditEntry[]> {
  const query = new URLSearchParams({ tool, limit: '1000', ...(kind === undefined ? {} : { kind }) });
  const answer = await daemon.call('GET', `/v1/audit?${query.toString()}`);
  if (answer.status !== 200) throw new Error(`audit: ${answer.text}`);
  return (answer.json.entries as readonly AuditEntry[]).map((entry) => entry.record ?? entry);
}
