/** `governor history`. */

import { parseDuration } from '../../../config/units.ts';
import { formatAmount, formatDuration } from '../../../lib/core/format.ts';
import type { HistoryDocument } from '../../../lib/observe/history/query.ts';
import { createClient, query, segment } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { highest, lowest, sparkline } from '../sparkline.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { parseTime } from '../time-option.ts';
import { usageError } from '../usage-error.ts';
import { ago, NOTHING } from '../values.ts';

export interface HistorySelection {
  readonly resource: string | null;
  readonly run: string | null;
  readonly since: string | null;
  readonly until: string | null;
  readonly step: string | null;
  readonly csv: boolean;
}

export async function history(session: Session, name: string, selection: HistorySelection): Promise<ExitCode> {
  if (selection.csv && session.json) return usageError(session, 'history', '--json and --csv exclude each other');
  const nowMs = session.terminal.now();
  const since = parseTime('--since', selection.since, nowMs);
  if (!since.ok) return usageError(session, 'history', since.error);
  const until = parseTime('--until', selection.until, nowMs);
  if (!until.ok) return usageError(session, 'history', until.error);
  const problem = problemOf(selection, since.value, until.value, nowMs);
  if (problem !== null) return usageError(session, 'history', problem);
  const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
  const { resource, run, step } = selection;
  const asked = query({ resource, run, from: iso(since.value), to: iso(until.value), step });
  const reply = await createClient(session.locations()).get(`/v1/tools/${segment(name)}/history${asked}`);
  const document = reply.body as HistoryDocument;
  if (session.json) session.print(reply.text);
  else if (selection.csv) session.print(...csv(document));
  else session.print(...forPeople(session, document, nowMs));
  return EXIT.ok;
}

/** What REST refuses too, in the words of the command line. */
function problemOf(
  { since, step, until }: HistorySelection,
  sinceMs: number | null,
  untilMs: number | null,
  nowMs: number,
): string | null {
  if (sinceMs !== null && sinceMs >= nowMs) return `--since ${since} lies in the future`;
  if (sinceMs !== null && untilMs !== null && sinceMs >= untilMs)
    return `--since ${since} is not before --until ${until}; durations count back from now`;
  const duration = step === null ? null : parseDuration(step, { min: 1, max: 36_500 * 86_400_000 });
  if (duration === null || (duration.ok && duration.value >= 1000 && duration.value % 1000 === 0)) return null;
  return `--step ${JSON.stringify(step)} is not whole seconds of at least one, such as 10s or 5m`;
}

const COLUMNS: readonly Column[] = [
  { title: 'RESOURCE' },
  { title: 'LOWEST', align: 'right' },
  { title: 'MEAN', align: 'right' },
  { title: 'HIGHEST', align: 'right' },
  { title: 'LAST', align: 'right' },
  { title: '' },
];
/** What the other columns take. */
const BESIDE_COLUMNS = 60;
const CALL_COLUMNS: readonly Column[] = [
  { title: 'CALL', maxColumns: 60 },
  { title: 'CALLS', align: 'right' },
  { title: 'FAILED', align: 'right' },
  { title: 'MEAN', align: 'right' },
  { title: 'LONGEST', align: 'right' },
  { title: 'CPU', align: 'right' },
  { title: 'LAST', align: 'right' },
];
/** Lines of totals that are shown; `--json` has all. */
const TOTALS_SHOWN = 10;

function forPeople(session: Session, document: HistoryDocument, nowMs: number): readonly string[] {
  const { at, from, to, stepMs, resources, runs, totals } = document;
  const seen = runs.filter((count) => count > 0).length;
  const title = `${from} to ${to}, a value every ${formatDuration(stepMs)}; measured in ${seen} of ${at.length} steps`;
  const wide = Math.max(20, (session.terminal.stdout.columns ?? 120) - BESIDE_COLUMNS);
  const lines =
    seen === 0
      ? ['Nothing was measured in this time.']
      : [
          title,
          '',
          ...renderTable(
            COLUMNS,
            resources.map((column) => row(column, wide)),
            session.style.bold,
          ),
        ];
  const calls = totals.calls.map((each) =>
    totalRow(each.method === '' ? '(others)' : `${each.method} ${each.name}`.trim(), each, nowMs),
  );
  const contexts = totals.contexts.map((each) =>
    totalRow(each.context === '' ? '(others)' : each.context, each, nowMs),
  );
  return [...lines, ...totalLines(session, 'CALL', calls), ...totalLines(session, 'CONTEXT', contexts)];
}

function row({ resource, mean, min, max }: HistoryDocument['resources'][number], wide: number): readonly Cell[] {
  const amount = (value: number | null): string => (value === null ? NOTHING : formatAmount(resource, value));
  const known = mean.filter((value) => value !== null);
  const average = known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  return [
    resource,
    amount(lowest(min)),
    amount(average),
    amount(highest(max)),
    amount(known.at(-1) ?? null),
    sparkline(max, wide),
  ];
}

function totalLines(session: Session, title: string, rows: readonly (readonly Cell[])[]): readonly string[] {
  if (rows.length === 0) return [];
  const columns = CALL_COLUMNS.map((column, index) => (index === 0 ? { ...column, title } : column));
  const more = rows.length > TOTALS_SHOWN ? [`${rows.length - TOTALS_SHOWN} more; --json shows all`] : [];
  return ['', ...renderTable(columns, rows.slice(0, TOTALS_SHOWN), session.style.bold), ...more];
}

type Sums = HistoryDocument['totals']['contexts'][number];

function totalRow(what: string, sums: Omit<Sums, 'context'>, nowMs: number): readonly Cell[] {
  const { calls, failures, durationMs, maxMs, cpuTimeMs, unmeasured, lastAt } = sums;
  return [
    what,
    String(calls),
    String(failures),
    calls === 0 ? NOTHING : formatDuration(durationMs / calls),
    formatDuration(maxMs),
    unmeasured === calls ? NOTHING : formatDuration(cpuTimeMs),
    `${ago(lastAt, nowMs)} ago`,
  ];
}

/** One line a step; what is not there is empty. RFC 4180, but for the line ends. */
function csv({ at, runs, resources }: HistoryDocument): readonly string[] {
  const names = resources.flatMap(({ resource, unit }) =>
    ['mean', 'min', 'max'].map((what) => `${resource}_${what}_${unit}`),
  );
  const cell = (value: number | null | undefined): string =>
    value === null || value === undefined ? '' : String(value);
  const rows = at.map((instant, step) => [
    instant,
    String(runs[step] ?? 0),
    ...resources.flatMap(({ mean, min, max }) => [cell(mean[step]), cell(min[step]), cell(max[step])]),
  ]);
  return [['at', 'runs', ...names], ...rows].map((cells) => cells.join(','));
}
