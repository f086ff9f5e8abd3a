/** `governor cache ls`, `governor cache clear`. */

import { formatBytes } from '../../../lib/core/format.ts';
import type { CacheCleared, CacheEntryView, CacheReport } from '../../../lib/mcp/cache/report.ts';
import { createClient, query } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { ago, NOTHING } from '../values.ts';

/** Which entries; all where nothing is given. */
export interface CacheSelection {
  readonly tool: string | null;
  readonly uri: string | null;
  readonly pattern: string | null;
}

const COLUMNS: readonly Column[] = [
  { title: 'TOOL', maxColumns: 40 },
  { title: 'WHAT', maxColumns: 80 },
  { title: 'FOR', maxColumns: 40 },
  { title: 'SIZE', align: 'right' },
  { title: 'AGE', align: 'right' },
  { title: 'LEFT', align: 'right' },
  { title: 'USED', align: 'right' },
];

export async function listCache(session: Session, selection: CacheSelection): Promise<ExitCode> {
  const reply = await createClient(session.locations()).get(`/v1/cache${query({ ...selection })}`);
  if (session.json) {
    session.print(reply.text);
    return EXIT.ok;
  }
  const { statistics, entries } = reply.body as CacheReport;
  if (statistics === null) {
    session.print('The cache is off (daemon.cache in limits.yaml).');
    return EXIT.ok;
  }
  const nowMs = session.terminal.now();
  if (entries.length > 0) {
    const rows = entries.map((entry) => row(entry, nowMs));
    session.print(...renderTable(COLUMNS, rows, session.style.bold), '');
  }
  session.print(...summary(statistics));
  return EXIT.ok;
}

export async function clearCache(session: Session, selection: CacheSelection): Promise<ExitCode> {
  const reply = await createClient(session.locations()).send('DELETE', `/v1/cache${query({ ...selection })}`);
  if (session.json) {
    session.print(reply.text);
    return EXIT.ok;
  }
  const { entries, redis } = reply.body as CacheCleared;
  const there = {
    none: '',
    done: ', and what Redis had of them',
    pending: '; Redis does not answer: it is told when it does, and nothing of them is read from it before',
  }[redis];
  session.print(`${entries === 1 ? '1 entry has' : `${entries} entries have`} left the memory${there}.`);
  return EXIT.ok;
}

function row(entry: CacheEntryView, nowMs: number): readonly Cell[] {
  const leftUntil = Math.max(nowMs, Date.parse(entry.expiresAt));
  return [
    entry.tool,
    entry.uri ?? entry.method,
    entry.context ?? 'all',
    formatBytes(entry.bytes),
    ago(entry.createdAt, nowMs),
    ago(new Date(nowMs).toISOString(), leftUntil),
    String(entry.accessCount),
  ];
}

function summary(counts: NonNullable<CacheReport['statistics']>): readonly string[] {
  const { entries, maxEntries, bytes, maxBytes, hits, joined, loads, redis } = counts;
  const answered = hits + joined + (redis?.hits ?? 0);
  const share = answered + loads === 0 ? NOTHING : `${Math.round((100 * answered) / (answered + loads))} %`;
  return [
    `${entries} of ${maxEntries} entries, ${formatBytes(bytes)} of ${formatBytes(maxBytes)}; ${answered} of ${answered + loads} requests answered (${share})`,
    ...(redis === null
      ? []
      : [`Redis is ${redis.state}: ${redis.hits} answered, ${redis.timeouts + redis.failures} failures`]),
  ];
}
