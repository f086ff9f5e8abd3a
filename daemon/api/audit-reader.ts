/** The audit log of a state directory, as the API shows it. */

import type { Head } from '../../lib/observe/audit-chain.ts';
import { readAudit } from '../../lib/observe/audit-read.ts';
import { verifyAudit } from '../../lib/observe/audit-verify.ts';
import type { AuditReader, AuditVerification } from './dependencies.ts';

/**
 * @param flush makes what is still queued readable first
 * @param head where this daemon's own writer knows the chain to end: a log and a head that were rolled back together show
 */
export function createAuditReader(
  stateDir: string,
  flush: () => Promise<unknown>,
  head: () => Head | null = () => null,
): AuditReader {
  let verifying: Promise<AuditVerification> | null = null;
  return {
    async list({ since, until, after, ...query }) {
      await flush();
      const { entries, more } = await readAudit(stateDir, {
        ...query,
        ...(since === undefined ? {} : { sinceMs: Date.parse(since) }),
        ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
        ...(after === undefined ? {} : { afterSeq: after }),
      });
      return { entries: entries.map((entry) => ({ ...entry })), more };
    },
    /** The whole log is read, so callers at the same time share one answer. */
    verify() {
      verifying ??= verify(stateDir, flush, head).finally(() => (verifying = null));
      return verifying;
    },
  };
}

async function verify(
  stateDir: string,
  flush: () => Promise<unknown>,
  head: () => Head | null,
): Promise<AuditVerification> {
  await flush();
  const expected = head();
  const report = await verifyAudit(stateDir, expected === null ? {} : { expected });
  const findings = report.problems.map(({ file, line, kind, message }) => ({ file, line, kind, message }));
  // That there is no log at all is a finding too: one that was emptied must not pass.
  if (report.files === 0)
    findings.push({ file: 'audit', line: null, kind: 'missing', message: 'there is no audit log' });
  return { ok: report.ok && findings.length === 0, entries: report.lines, findings };
}
