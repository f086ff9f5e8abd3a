/** `governor post-mortem [NAME[/RUN]]`: what a tool was like when it failed, and what came of it. */

import { formatAmount, formatBytes, formatDuration } from '../../../lib/core/format.ts';
import type { PostMortem } from '../../../lib/supervisor/post-mortem-view.ts';
import type { PostMortemSummary } from '../../api/schemas/post-mortem.ts';
import { createClient, segment } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { recoveryDetails } from '../recovery-text.ts';
import { printable } from '../text.ts';
import { ago, commandText, exitText, limitText, NOTHING, ratioText, usageText } from '../values.ts';

/** Without a name: the list of all. With one: the newest of that tool, or that of the run. */
export async function postMortem(session: Session, target: string | null): Promise<ExitCode> {
  const client = createClient(session.locations());
  if (target === null) {
    const reply = await client.get('/v1/post-mortems');
    if (session.json) session.print(reply.text);
    else
      session.print(
        ...listed(session, (reply.body as { readonly postMortems: readonly PostMortemSummary[] }).postMortems),
      );
    return EXIT.ok;
  }
  const slash = target.indexOf('/');
  const name = slash === -1 ? target : target.slice(0, slash);
  const path = `/v1/tools/${segment(name)}/post-mortems`;
  const others = slash === -1 ? ((await client.get(path)).body as Listing).postMortems : [];
  const id = slash === -1 ? others[0]?.id : target.slice(slash + 1);
  if (id === undefined) {
    if (session.json) session.print('null');
    else session.print(`No failure of ${printable(name)} is kept.`);
    return EXIT.ok;
  }
  const reply = await client.get(`${path}/${segment(id)}`);
  if (session.json) session.print(reply.text);
  else session.print(...page(session, reply.body as PostMortem, others.slice(1)));
  return EXIT.ok;
}

interface Listing {
  readonly postMortems: readonly PostMortemSummary[];
}

const LIST_COLUMNS: readonly Column[] = [
  { title: 'TOOL', maxColumns: 40 },
  { title: 'RUN' },
  { title: 'WHEN' },
  { title: 'LIVED', align: 'right' },
  { title: 'REASON' },
  { title: 'MESSAGE' },
];

function listed(session: Session, summaries: readonly PostMortemSummary[]): readonly string[] {
  if (summaries.length === 0) return ['No failure of any tool is kept.'];
  const rows = summaries.map(({ tool, id, at, livedMs, reason, message }) => [
    tool,
    id,
    at,
    formatDuration(livedMs),
    reason,
    message,
  ]);
  return renderTable(LIST_COLUMNS, rows, session.style.bold);
}

function page(session: Session, document: PostMortem, older: readonly PostMortemSummary[]): readonly string[] {
  const { style } = session;
  const { tool, id, at, startedAt, livedMs, end, snapshot } = document;
  const section = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : ['', style.bold(title), ...lines.map((line) => `  ${line}`)];
  return [
    `${style.bold(printable(tool))}  ${style.stage('emergency')(printable(end.message))}`,
    `  ended     ${at} (${ago(at, session.terminal.now())} ago): ${end.reason}, ${exitText(end.exit)}`,
    `  started   ${startedAt}, lived ${formatDuration(livedMs)}`,
    `  run       ${id}, ${document.mode}, ${document.backend}${document.context === null ? '' : `, context ${printable(document.context)}`}`,
    `  command   ${printable(commandText(document.command))}`,
    `  class     ${printable(document.class)}`,
    ...cleanupLines(document),
    ...recoveryLines(document),
    ...section(`Usage, as last sampled before ${snapshot.at}`, usageLines(session, document)),
    ...section('Processes', processLines(session, document)),
    ...section('Open files by kind', counts(snapshot.files)),
    ...section('Sockets by state', counts(snapshot.sockets)),
    ...section(
      'Not looked at',
      snapshot.omitted.map(({ what, why }) => printable(`${what}: ${why}`)),
    ),
    ...section('Decisions', decisionLines(session, document)),
    ...section('Last lines', document.logs.map(printable)),
    ...section(
      'Earlier failures',
      older.map((one) => printable(`${one.at}  ${one.id}  ${one.message}`)),
    ),
  ];
}

function cleanupLines({ end: { cleanup } }: PostMortem): readonly string[] {
  if (cleanup === null) return [];
  const left = Object.entries(cleanup.left).map(([kind, amount]) => `${amount} ${kind}`);
  const proven = cleanup.proven ? 'proven' : 'not proven to be all of it';
  const rest = left.length === 0 ? 'nothing left' : `left: ${left.join(', ')}`;
  return [
    `  cleanup   ${proven}, ${rest}, in ${formatDuration(cleanup.durationMs)} after ${formatDuration(cleanup.graceMs)} of grace`,
  ];
}

function recoveryLines({ recovery }: PostMortem): readonly string[] {
  return recoveryDetails({ ...recovery, rates: [] }).map(
    (line, index) => `  ${index === 0 ? 'recovery' : '        '}  ${printable(line)}`,
  );
}

const USAGE_COLUMNS: readonly Column[] = [
  { title: 'RESOURCE' },
  { title: 'USED', align: 'right' },
  { title: 'LIMIT', align: 'right' },
  { title: '%', align: 'right' },
  { title: 'STAGE' },
  { title: 'REASON' },
];

function usageLines({ style }: Session, { snapshot, limits }: PostMortem): readonly string[] {
  const rows = snapshot.usage.map((usage): readonly Cell[] => {
    const limit = limits.find(({ resource }) => resource === usage.resource);
    const paint = style.stage(usage.stage);
    return [
      usage.resource,
      usage.usage === null ? NOTHING : usageText(usage),
      limit === undefined ? NOTHING : limitText(limit),
      { text: ratioText(usage.ratio), paint },
      { text: usage.stage, paint },
      limit?.reason ?? '',
    ];
  });
  return renderTable(USAGE_COLUMNS, rows, style.dim);
}

const PROCESS_COLUMNS: readonly Column[] = [
  { title: 'PID', align: 'right' },
  { title: 'NAME' },
  { title: 'STATE' },
  { title: 'MEMORY', align: 'right' },
  { title: 'CPU TIME', align: 'right' },
  { title: 'FILES', align: 'right' },
  { title: 'SOCKETS', align: 'right' },
  { title: 'THREADS', align: 'right' },
];

/** As a tree: children below their parent, indented. */
function processLines({ style }: Session, { snapshot: { processes } }: PostMortem): readonly string[] {
  if (processes === null || processes.length === 0) return [];
  const known = new Set(processes.map(({ pid }) => pid));
  const rows: Cell[][] = [];
  const told = new Set<number>();
  const tell = (ofParent: (ppid: number) => boolean, depth: number): void => {
    for (const process of processes) {
      if (!ofParent(process.ppid) || told.has(process.pid)) continue;
      told.add(process.pid);
      rows.push([
        String(process.pid),
        `${'  '.repeat(Math.min(depth, 20))}${process.name}`,
        process.state,
        process.memoryBytes === null ? NOTHING : formatBytes(process.memoryBytes),
        formatDuration(process.cpuTimeMs),
        process.fileHandles === null ? NOTHING : String(process.fileHandles),
        process.sockets === null ? NOTHING : String(process.sockets),
        String(process.threads),
      ]);
      tell((ppid) => ppid === process.pid, depth + 1);
    }
  };
  tell((ppid) => !known.has(ppid), 0);
  return renderTable(PROCESS_COLUMNS, rows, style.dim);
}

function counts(counted: Readonly<Record<string, number>> | null): readonly string[] {
  const entries = Object.entries(counted ?? {});
  const width = Math.max(0, ...entries.map(([, count]) => String(count).length));
  return entries.map(([kind, count]) => printable(`${String(count).padStart(width)}  ${kind}`));
}

function decisionLines({ style }: Session, { decisions }: PostMortem): readonly string[] {
  const columns: readonly Column[] = [
    { title: 'WHEN' },
    { title: 'RESOURCE' },
    { title: 'STAGE' },
    { title: 'USED', align: 'right' },
    { title: '%', align: 'right' },
    { title: 'CAUSE' },
  ];
  if (decisions.length === 0) return [];
  const rows = decisions.map(({ at, resource, kind, from, to, usage, ratio, cause, call }): readonly Cell[] => [
    at,
    resource,
    kind === 'repeat' ? `still ${to}` : `${from} → ${to}`,
    formatAmount(resource, usage),
    ratioText(ratio),
    [cause ?? '', call ?? ''].filter((part) => part !== '').join(', '),
  ]);
  return renderTable(columns, rows, style.dim);
}
