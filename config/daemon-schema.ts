/** `daemon:` of limits.yaml. */

import { z } from 'zod';
import type { Governor } from '../lib/supervisor/governor.ts';
import { DaemonCacheSchema } from './cache-schema.ts';
import { amount, closed, count, duration, size, text } from './fields.ts';
import type { IssueParams } from './fields.ts';
import { HistorySchema } from './history-schema.ts';
import { ADAPTIVE_PLACE, SharedLimitsSchema } from './limit-schema.ts';
import { parseListen } from './listen.ts';
import { CALLS, LEAKS } from './serving-schema.ts';

export type BackendId = ReturnType<Governor['host']>['backend'];

/** An object, so that the build fails when a backend is added and not listed here. */
const BACKENDS: Readonly<Record<BackendId, true>> = {
  cgroup2: true,
  'cgroup2-scope': true,
  cgroup1: true,
  'cgroup2-bare': true,
  pidns: true,
  procfs: true,
  portable: true,
};

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const DaemonSchema = closed(
  {
    listen: amount(parseListen, {
      type: 'string',
      examples: ['127.0.0.1:7717', '[::1]:7717'],
      description: 'TCP address of REST, MCP and metrics. A unix socket is always there too. Default 127.0.0.1:7717.',
    }).optional(),
    auth: closed({
      api: z
        .enum(['token', 'none'])
        .optional()
        .meta({ description: 'REST over TCP: bearer token (default), or none, on a loopback address only.' }),
      mcp: z
        .enum(['token', 'none'])
        .optional()
        .meta({ description: 'MCP over TCP: bearer token (default), or none, on a loopback address only.' }),
      metrics: z.enum(['none', 'token']).optional().meta({ description: '/metrics over TCP. Default none.' }),
    }).optional(),
    mcp: closed({
      separator: z
        .string()
        .superRefine((value, context) => {
          if (/^[_.-]{1,8}$/.test(value)) return;
          const params: IssueParams = { kind: 'value', hint: 'write one to eight of _ . -, such as "__"' };
          context.addIssue({
            code: 'custom',
            message: `${JSON.stringify(value)} could not be told from a name`,
            params,
          });
        })
        .meta({
          pattern: '^[_.-]{1,8}$',
          description: 'Between the names of a server and its tool where all are served as one (/mcp). Default "__".',
        })
        .optional(),
    }).optional(),
    cache: DaemonCacheSchema.optional(),
    backend: z
      .enum(['auto', ...backendIds()])
      .optional()
      .meta({
        description: 'How tools are contained. Default auto: the best that this host has. Others are for tests.',
      }),
    sample_interval: duration(
      { description: 'How often active tools are measured. Default 1s.' },
      { min: 100, max: 60_000 },
    ).optional(),
    audit: closed({
      max_file: size(
        { description: 'An audit file is closed at this size. Default 16MiB.' },
        { min: 65_536, max: 1024 ** 4 },
      ).optional(),
      keep: count({ description: 'How many audit files are kept. Default 10.' }, { min: 1, max: 100_000 }).optional(),
    }).optional(),
    history: HistorySchema.optional(),
    post_mortems: closed({
      keep: count(
        { description: 'How many post-mortems are kept of each tool. Default 20.' },
        { min: 1, max: 10_000 },
      ).optional(),
      max_size: size(
        { description: 'How much all of them together may take on the disk. Default 64MiB.' },
        { min: 65_536, max: 1024 ** 4 },
      ).optional(),
    }).optional(),
    calls: CALLS.optional().meta({ description: 'For every tool that neither says it itself nor by its class.' }),
    leaks: LEAKS.optional().meta({ description: 'For every tool that does not say it itself.' }),
    log_level: z.enum(LOG_LEVELS).optional().meta({ description: 'Default info.' }),
    dry_run: z
      .boolean()
      .optional()
      .meta({ description: 'Decide and record, but do nothing to any tool. Default false.' }),
    budget: SharedLimitsSchema.optional().meta({
      description: 'Limits for all tools together. Runs over their own limit are held to that first.',
    }),
    temp_root: text({
      maxLength: 4096,
      description: 'Where the private temporary directories of runs are made; relative to the folder of this file.',
    }).optional(),
  },
  {
    contexts: 'limits by context are written under `contexts` at the top level',
    adaptive: ADAPTIVE_PLACE,
  },
);

export type DaemonFields = z.infer<typeof DaemonSchema>;

function backendIds(): [BackendId, ...BackendId[]] {
  return Object.keys(BACKENDS) as [BackendId, ...BackendId[]];
}
