/** A configuration that was read and found valid, whole. */

import type { BudgetRules } from '../lib/core/budget.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import { cacheConfig } from './cache-schema.ts';
import type { CacheConfig } from './cache-schema.ts';
import type { BackendId, DaemonFields, LogLevel } from './daemon-schema.ts';
import { DEFAULT_POST_MORTEMS } from './defaults.ts';
import type { Define } from './define.ts';
import type { ClassDefinition } from './layers.ts';
import { historyConfig } from './history-schema.ts';
import type { HistoryConfig } from './history-schema.ts';
import type { ListenAddress } from './listen.ts';
import type { CallsFields, LeaksFields } from './serving-schema.ts';

export interface DaemonConfig {
  readonly listen: ListenAddress;
  readonly auth: {
    readonly api: 'token' | 'none';
    readonly mcp: 'token' | 'none';
    readonly metrics: 'token' | 'none';
  };
  readonly mcp: { readonly separator: string };
  /** Null: nothing is kept. */
  readonly cache: CacheConfig | null;
  readonly backend: 'auto' | BackendId;
  readonly sampleIntervalMs: number;
  readonly audit: { readonly maxFileBytes: number; readonly keepFiles: number };
  /** Null: nothing is recorded. */
  readonly history: HistoryConfig | null;
  /** Of each tool, and of all together. */
  readonly postMortems: { readonly keep: number; readonly maxBytes: number };
  readonly logLevel: LogLevel;
  /** Of tools that say nothing themselves. */
  readonly calls: CallsFields;
  readonly leaks: LeaksFields;
  readonly dryRun: boolean;
  /** Absolute; null: the daemon chooses. */
  readonly tempRoot: string | null;
}

export interface Config {
  /** As it was given; null: there is no file, everything is built in. */
  readonly file: string | null;
  readonly daemon: DaemonConfig;
  /** Built-in ones included. */
  readonly classes: ReadonlyMap<string, ClassDefinition>;
  /** In the order of the file. */
  readonly tools: readonly ToolDefinition[];
  /** Limits that runs share. */
  readonly budgets: BudgetRules;
  readonly define: Define;
}

/** Between the names of a server and its tool. */
export const DEFAULT_SEPARATOR = '__';
export const DEFAULT_SAMPLE_INTERVAL_MS = 1_000;
export const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 7717 };

export function daemonConfig(
  fields: DaemonFields | undefined,
  listen: ListenAddress | null,
  folder: (path: string) => string,
): DaemonConfig {
  return {
    listen: listen ?? fields?.listen ?? DEFAULT_LISTEN,
    auth: {
      api: fields?.auth?.api ?? 'token',
      mcp: fields?.auth?.mcp ?? 'token',
      metrics: fields?.auth?.metrics ?? 'none',
    },
    mcp: { separator: fields?.mcp?.separator ?? DEFAULT_SEPARATOR },
    cache: cacheConfig(fields?.cache),
    backend: fields?.backend ?? 'auto',
    sampleIntervalMs: fields?.sample_interval ?? DEFAULT_SAMPLE_INTERVAL_MS,
    audit: { maxFileBytes: fields?.audit?.max_file ?? 16 * 1024 ** 2, keepFiles: fields?.audit?.keep ?? 10 },
    history: historyConfig(fields?.history),
    postMortems: {
      keep: fields?.post_mortems?.keep ?? DEFAULT_POST_MORTEMS.keep,
      maxBytes: fields?.post_mortems?.max_size ?? DEFAULT_POST_MORTEMS.maxBytes,
    },
    logLevel: fields?.log_level ?? 'info',
    calls: fields?.calls ?? {},
    leaks: fields?.leaks ?? {},
    dryRun: fields?.dry_run ?? false,
    tempRoot: fields?.temp_root === undefined ? null : folder(fields.temp_root),
  };
}
