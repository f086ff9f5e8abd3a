/** Contexts, the host, the audit, and problems. */

import { z } from 'zod';
import { ERRORS } from '../../../lib/core/errors.ts';
import type { ErrorCode } from '../../../lib/core/errors.ts';
import type { HostReport } from '../../../lib/os/backend.ts';
import type { ContextAccount } from '../../../lib/mcp/calls/account.ts';
import type { ReloadOutcome } from '../../../lib/supervisor/governor.ts';
import type { BudgetView, ContextView } from '../../../lib/supervisor/views.ts';
import type { HistoryView } from '../../history.ts';
import type { AuditEntryView, AuditVerification } from '../dependencies.ts';
import type { ProblemDocument } from '../problems.ts';
import { component } from '../view-schema.ts';
import { backend, count, enforcement, limitSource, quality, resource, stage, time, unit } from './atoms.ts';

export type ContextDocument = ContextView & { readonly calls: Omit<ContextAccount, 'context'> | null };

export const budget = component<BudgetView>(
  'Budget',
  'Limits that several runs share, of a context or of all tools together, and what these use.',
)(
  z.object({
    scope: z.enum(['host', 'context']),
    context: z.string().nullable(),
    stage,
    runs: count,
    resources: z.array(
      z.object({
        resource,
        unit,
        usage: z.number().nullable(),
        limit: z.number().nullable(),
        ratio: z.number().nullable(),
        stage,
        quality: quality.or(z.enum(['unsupported', 'gone'])),
        enforcement,
        at: time.nullable(),
        unsupported: z.string().exactOptional(),
        source: limitSource.nullable(),
        reason: z.string().exactOptional(),
      }),
    ),
    note: z.string().exactOptional().describe('why the kernel does not hold them together, where it could'),
  }),
);

export const context = component<ContextDocument>(
  'Context',
  'Who runs are in use for, and what was asked of managed tools on its behalf.',
)(
  z.object({
    id: z.string(),
    budget: budget.nullable().describe('null: it has no run'),
    runs: z.array(z.object({ tool: z.string(), run: z.string() })),
    calls: z
      .object({
        calls: count,
        failures: count,
        durationMs: z.number().nonnegative(),
        cpuTimeMs: z.number().nonnegative(),
        sharedCpuTimeMs: z
          .number()
          .nonnegative()
          .describe('of cpuTimeMs: split evenly among calls that were open in one process at once'),
        unmeasured: count.describe('calls whose CPU time could not be read'),
      })
      .nullable(),
  }),
);

export const host = component<HostReport & { readonly version: string; readonly history: HistoryView }>(
  'Host',
  'What this host can measure and enforce.',
)(
  z.object({
    version: z.string().describe('of Governor'),
    backend,
    probes: z.array(
      z.object({
        backend,
        usable: z.boolean(),
        reason: z.string(),
      }),
    ),
    capabilities: z.array(
      z.object({
        resource,
        measuredBy: z.string(),
        enforcement,
        enforcedBy: z.string(),
        toGetMore: z.string().exactOptional(),
      }),
    ),
    kernel: z.string(),
    totals: z
      .object({
        at: time,
        memoryBytes: count,
        memoryAvailableBytes: count,
        cores: count,
        cpuPercent: z.number().describe('share of all cores in use'),
        tempFreeBytes: count.describe('where the temp directories lie'),
      })
      .nullable()
      .describe('what there is to share out, read once a minute'),
    shared: z
      .object({ enforcement: z.enum(['kernel', 'polled']), detail: z.string() })
      .describe('limits that several runs share'),
    bootId: z.string(),
    history: z
      .object({
        state: z
          .enum(['off', 'waiting', 'on', 'paused', 'failed'])
          .describe('waiting: opened with the first reading; failed: none until the daemon is started anew'),
        reason: z.string().nullable().describe('why it is paused or failed'),
        written: count.describe('rows of readings since the daemon started'),
        dropped: count.describe('rows of readings that are lost'),
        bytes: count.describe('of the file and its log'),
      })
      .describe('of the usage of tools'),
    native: z.object({ available: z.boolean(), detail: z.string() }),
  }),
);

export const reloadOutcome = component<ReloadOutcome>(
  'Reload',
  'What a reload of limits.yaml changed.',
)(
  z.object({
    changed: z.array(z.string()),
    added: z.array(z.string()),
    removed: z.array(z.string()),
    notes: z.array(z.string()),
  }),
);

export const auditEntry: z.ZodType<AuditEntryView> = z
  .looseObject({ seq: count, at: time, kind: z.string() })
  .meta({ id: 'AuditEntry', description: 'One line of the audit log; further fields by kind.' });

export const auditVerification = component<AuditVerification>(
  'AuditVerification',
  'Whether the chain of the audit log holds.',
)(
  z.object({
    ok: z.boolean(),
    entries: count,
    findings: z.array(
      z.object({ file: z.string(), line: z.number().int().nullable(), kind: z.string(), message: z.string() }),
    ),
  }),
);

export const problem = component<ProblemDocument>(
  'Problem',
  'RFC 9457 problem details; `code` is stable.',
)(
  z.object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode]),
    problems: z.array(
      z.object({
        message: z.string(),
        hint: z.string().exactOptional(),
        pointer: z.string().exactOptional(),
        file: z.string().exactOptional(),
        line: z.number().int().exactOptional(),
        column: z.number().int().exactOptional(),
      }),
    ),
    data: z.record(z.string(), z.unknown()).exactOptional(),
  }),
);
