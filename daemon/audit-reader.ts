/** The audit as the API asks for it. */

import type { AuditLog } from '../lib/observe/audit-log.ts';
import { readAudit } from '../lib/observe/audit-read.ts';
import { verifyAudit } from '../lib/observe/audit-verify.ts';
import type { AuditReader } from './api/dependencies.ts';

export function createAuditReader(stateDir: string, log: AuditLog): AuditReader {
  return {
    async list({ since, until, after, limit, tool, run, kind }) {
      // What has happened is in the answer, also when it is still on its way to the disk.
      await log.flush();
      const { entries } = await readAudit(stateDir, {
        limit,
        ...(tool === undefined ? {} : { tool }),
        ...(run === undefined ? {} : { run }),
        ...(kind === undefined ? {} : { kind }),
        ...(since === undefined ? {} : { sinceMs: Date.parse(since) }),
        ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
        ...(after === undefined ? {} : { afterSeq: after }),
      });
      return entries.map((entry) => ({ ...entry }));
    },
    async verify() {
      await log.flush();
      const { ok, lines, problems } = await verifyAudit(stateDir);
      return { ok, entries: lines, findings: problems.map(({ file, line, kind, message }) => ({ file, line, kind, message })) };
    },
  };
}
