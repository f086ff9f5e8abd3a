/**
 * `governor audit show | verify | export`. They read the files themselves: the audit is wanted most when no daemon lives,
 * and a check that asked the daemon would trust what it checks. With `--json` they print the documents of the REST API.
 */

import type { AuditEntry, ChainKind } from '../../../lib/observe/audit-chain.ts';
import { exportAudit as exportEntries, readAudit, type AuditQuery } from '../../../lib/observe/audit-read.ts';
import { formatVerifyProblem, verifyAudit, type VerifyReport } from '../../../lib/observe/audit-verify.ts';
import { GovernorError } from '../../../lib/core/errors.ts';
import { ok, type Result } from '../../../lib/core/result.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { printable } from '../text.ts';
import { parseTime } from '../time-option.ts';
import { usageError } from '../usage-error.ts';

type Options = Readonly<Record<string, unknown>>;

export async function show(session: Session, options: Options): Promise<ExitCode> {
  const query = parseFilter(options, session.terminal.now());
  if (!query.ok) return usageError(session, 'audit show', query.error);
  const { stateDir } = session.locations();
  const page = await reading(stateDir, () =>
    readAudit(stateDir, { ...query.value, limit: Number(options['limit']), order: 'newest' }),
  );
  const entries = page.entries.toReversed();
  if (session.json) session.print(JSON.stringify({ entries, next: null }));
  else if (entries.length === 0) session.print(`No entries of the audit match in ${printable(stateDir)}.`);
  else
    session.print(
      ...renderTable(
        COLUMNS,
        entries.map((entry) => row(entry)),
        session.style.bold,
      ),
    );
  if (page.unreadable > 0)
    session.terminal.stderr.write(`governor: ${page.unreadable} lines could not be read; see: governor audit verify\n`);
  return EXIT.ok;
}

export async function verify(session: Session): Promise<ExitCode> {
  const { stateDir } = session.locations();
  const report = await reading(stateDir, () => verifyAudit(stateDir));
  const findings = findingsOf(report, stateDir);
  const good = findings.length === 0;
  if (session.json) session.print(JSON.stringify({ ok: good, entries: report.lines, findings }));
  else session.print(...verdict(session, report, findings, stateDir));
  return good ? EXIT.ok : EXIT.refused;
}

export async function exportAudit(session: Session, options: Options): Promise<ExitCode> {
  const format = options['format'] === 'csv' ? 'csv' : 'jsonl';
  if (format === 'csv' && session.json)
    return usageError(session, 'audit export', '--json and --format csv exclude each other');
  const query = parseFilter(options, session.terminal.now());
  if (!query.ok) return usageError(session, 'audit export', query.error);
  const { stateDir } = session.locations();
  await reading(stateDir, async () => {
    for await (const text of exportEntries(stateDir, query.value, format)) {
      if (session.terminal.interrupted.aborted) return;
      session.terminal.stdout.write(text);
    }
  });
  return EXIT.ok;
}

const COLUMNS: readonly Column[] = [
  { title: 'SEQ', align: 'right' },
  { title: 'AT' },
  { title: 'KIND' },
  { title: 'TOOL', maxColumns: 40 },
  { title: 'RUN' },
  { title: 'WHAT', maxColumns: 200 },
];

/** What every line has, or what has a column of its own. */
const COMMON: ReadonlySet<string> = new Set([
  'seq',
  'at',
  'kind',
  'tool',
  'run',
  'monotonicMs',
  'bootId',
  'daemon',
  'prev',
  'mac',
]);

function row(entry: AuditEntry): readonly Cell[] {
  const fields: Readonly<Record<string, unknown>> = { ...entry };
  const what = Object.entries(fields)
    .filter(([name]) => !COMMON.has(name))
    .map(
      ([name, value]) =>
        `${name}=${typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)}`,
    );
  return [
    String(entry.seq),
    entry.at,
    entry.kind,
    String(fields['tool'] ?? ''),
    String(fields['run'] ?? ''),
    what.join(' '),
  ];
}

interface Finding {
  readonly file: string;
  readonly line: number | null;
  readonly kind: string;
  readonly message: string;
}

/** That there is no log at all is a finding too: a wrong directory, or one that was emptied, must not pass. */
function findingsOf(report: VerifyReport, stateDir: string): readonly Finding[] {
  const found = report.problems.map(({ file, line, kind, message }) => ({ file, line, kind, message }));
  if (found.length > 0 || report.files > 0) return found;
  return [{ file: 'audit', line: null, kind: 'missing', message: `there is no audit log in ${stateDir}` }];
}

function verdict(
  session: Session,
  report: VerifyReport,
  findings: readonly Finding[],
  stateDir: string,
): readonly string[] {
  const range = report.fromSeq === null ? '' : `, entries ${report.fromSeq} to ${report.toSeq ?? report.fromSeq}`;
  const notes = report.files === 0 ? [] : report.notes.map((note) => `note: ${printable(note)}`);
  if (findings.length === 0) {
    return [
      `${session.style.good('ok')}: ${report.lines} lines in ${report.files} files are as they were written${range} (${printable(stateDir)})`,
      ...notes,
    ];
  }
  const more = report.problemCount - report.problems.length;
  const count = Math.max(report.problemCount, findings.length);
  return [
    `${session.style.bad('BROKEN')}: ${count} ${count === 1 ? 'problem' : 'problems'}; ${report.lines} lines are proven${range} (${printable(stateDir)})`,
    ...(report.problems.length > 0
      ? report.problems.map(formatVerifyProblem)
      : findings.map(({ message }) => message)
    ).map((line) => `  ${printable(line)}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    ...notes,
  ];
}

function parseFilter(options: Options, nowMs: number): Result<AuditQuery, string> {
  const since = parseTime('--since', options['since'], nowMs);
  if (!since.ok) return since;
  const until = parseTime('--until', options['until'], nowMs);
  if (!until.ok) return until;
  const text = (name: string): string | null => (typeof options[name] === 'string' ? options[name] : null);
  const [tool, run, kind] = [text('tool'), text('run'), text('kind')];
  return ok({
    ...(tool === null ? {} : { tool }),
    ...(run === null ? {} : { run }),
    // Checked against the list of kinds when the command line was parsed.
    ...(kind === null ? {} : { kind: kind as ChainKind }),
    ...(since.value === null ? {} : { sinceMs: since.value }),
    ...(until.value === null ? {} : { untilMs: until.value }),
  });
}

async function reading<T>(stateDir: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof GovernorError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new GovernorError('state_dir', `cannot read the audit of ${stateDir}: ${why}`, { cause: error });
  }
}
