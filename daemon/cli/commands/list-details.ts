/** `governor ls -v`: limits with origin and reason, usage, and every process. */

import { GovernorError } from '../../../lib/core/errors.ts';
import type { ProcessView } from '../../../lib/os/inspector.ts';
import type { RunView, ToolView, UsageView } from '../../../lib/supervisor/views.ts';
import { segment, type Client } from '../client.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { printable } from '../text.ts';
import { recoveryDetails } from '../recovery-text.ts';
import {
  commandText,
  endText,
  limitText,
  liveRuns,
  NOTHING,
  ratioText,
  readingText,
  usageWithReason,
} from '../values.ts';
import { leakLines } from '../leak-lines.ts';
import { sourceText, stageActions, thresholds } from '../limit-text.ts';

type ProcessOfRun = ProcessView & { readonly run: string };

export async function listDetails(
  session: Session,
  client: Client,
  tools: readonly ToolView[],
  ended: readonly RunView[],
): Promise<void> {
  const usageReply = await client.get('/v1/usage');
  const processReplies = await processesOf(client, tools);
  if (session.json) {
    const documents = {
      tools,
      ended,
      usage: (usageReply.body as { readonly usage: readonly UsageView[] }).usage,
      processes: Object.fromEntries(processReplies),
    };
    session.print(JSON.stringify(documents));
    return;
  }
  const { usage } = usageReply.body as { readonly usage: readonly UsageView[] };
  const processes = new Map(
    processReplies.map(([name, body]) => [name, (body as { readonly processes: readonly ProcessOfRun[] }).processes]),
  );
  if (tools.length === 0 && ended.length === 0) session.print('No tools. Start one with: governor run -- COMMAND');
  tools.forEach((tool, index) => {
    const ofTool = usage.find((view) => view.tool === tool.name) ?? null;
    session.print(...(index === 0 ? [] : ['']), ...details(session, tool, ofTool, processes.get(tool.name) ?? []));
  });
  for (const run of ended)
    session.print(
      ...(tools.length === 0 ? [] : ['']),
      session.style.bold(printable(run.tool)),
      ...indent(runDetails(session, run, [])),
    );
}

/** One after the other: there may be thousands of tools. */
async function processesOf(
  client: Client,
  tools: readonly ToolView[],
): Promise<readonly (readonly [string, unknown])[]> {
  const replies: (readonly [string, unknown])[] = [];
  for (const { name, runs } of tools) {
    if (liveRuns(runs).length === 0) continue;
    try {
      replies.push([name, (await client.get(`/v1/tools/${segment(name)}/processes`)).body]);
    } catch (error) {
      // It ended since it was listed.
      if (!(error instanceof GovernorError) || error.code !== 'unknown_tool') throw error;
    }
  }
  return replies;
}

function details(
  session: Session,
  tool: ToolView,
  usage: UsageView | null,
  processes: readonly ProcessOfRun[],
): readonly string[] {
  const { style } = session;
  const { server, recovery, lastEnd } = tool;
  return [
    `${style.bold(printable(tool.name))}  ${tool.state}, ${style.stage(tool.stage)(tool.stage)}`,
    `  command   ${printable(commandText(tool.command))}`,
    `  class     ${printable(tool.class)}   from ${tool.origin}${tool.managed ? ', owned by the daemon' : ''}`,
    ...(server === null
      ? []
      : [
          `  server    ${printable(`${server.name} ${server.version}, MCP ${server.protocol}, ${server.tools.length} tools`)}`,
        ]),
    ...(tool.signIn === undefined ? [] : [`  sign-in   ${printable(signInText(tool.signIn))}`]),
    ...recoveryDetails(recovery).map((line, index) => `  ${index === 0 ? 'recovery' : '        '}  ${printable(line)}`),
    ...(lastEnd === null ? [] : [`  last end  ${printable(endText(lastEnd))}`]),
    ...leakLines(tool.leaks).map((line) => `  ${printable(line)}`),
    ...indent(limitTable(session, tool, usage)),
    ...tool.runs.flatMap((run) =>
      indent(
        runDetails(
          session,
          run,
          processes.filter((process) => process.run === run.id),
        ),
      ),
    ),
  ];
}

function signInText({ state, message, issuer, signedInAt }: NonNullable<ToolView['signIn']>): string {
  const at = issuer === null ? '' : ` at ${issuer}`;
  if (state === 'by_itself') return `by itself (client credentials)${at}`;
  return message ?? `signed in${at} since ${signedInAt ?? NOTHING}`;
}

const LIMIT_COLUMNS: readonly Column[] = [
  { title: 'LIMIT' },
  { title: 'VALUE', align: 'right' },
  { title: 'USED', maxColumns: 60 },
  { title: '%', align: 'right' },
  { title: 'ENFORCED' },
  { title: 'FROM' },
  { title: 'STAGES' },
  { title: 'ACTIONS' },
  { title: 'REASON' },
];

function limitTable(session: Session, { limits, state }: ToolView, usage: UsageView | null): readonly string[] {
  const rows = limits.map((limit): readonly Cell[] => {
    const used = usage?.resources.find(({ resource }) => resource === limit.resource);
    return [
      limit.resource,
      limitText(limit),
      used === undefined ? NOTHING : usageWithReason(used, state),
      used === undefined ? NOTHING : { text: ratioText(used.ratio), paint: session.style.stage(used.stage) },
      limit.limit === null ? NOTHING : (used?.enforcement ?? limit.enforcement),
      sourceText(limit),
      thresholds(limit),
      stageActions(limit),
      [limit.reason, limit.note].filter((part) => part !== undefined).join('; '),
    ];
  });
  return renderTable(LIMIT_COLUMNS, rows, session.style.dim);
}

const PROCESS_COLUMNS: readonly Column[] = [
  { title: 'PID', align: 'right' },
  { title: 'PPID', align: 'right' },
  { title: 'NAME' },
  { title: 'STATE' },
  { title: 'MEMORY', align: 'right' },
  { title: 'CPU TIME', align: 'right' },
  { title: 'FILES', align: 'right' },
  { title: 'SOCKETS', align: 'right' },
  { title: 'THREADS', align: 'right' },
];

function runDetails(session: Session, run: RunView, processes: readonly ProcessOfRun[]): readonly string[] {
  const context = run.context === null ? '' : `, context ${run.context}`;
  const governed = run.governed ? '' : `, not governed: ${run.notGovernedReason ?? 'its processes run elsewhere'}`;
  const ended = run.end === null ? '' : `, ended: ${endText(run.end)}`;
  const head = `run ${run.id}  ${run.state}, ${run.mode}, ${run.backend}, since ${run.startedAt}${context}${run.detached ? ', detached' : ''}${governed}${ended}`;
  const rows = processes.map((process): readonly Cell[] => [
    String(process.pid),
    String(process.ppid),
    process.name,
    process.state,
    readingText('memory', process.memory),
    readingText('runtime', { kind: 'measured', value: process.cpuTimeMs, quality: 'exact', atMs: 0 }),
    readingText('file_handles', process.fileHandles),
    readingText('sockets', process.sockets),
    String(process.threads),
  ]);
  return [printable(head), ...(rows.length === 0 ? [] : indent(renderTable(PROCESS_COLUMNS, rows, session.style.dim)))];
}

function indent(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`);
}
