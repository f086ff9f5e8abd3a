/** `governor ls`: one line a tool; with -v everything there is to know of each. */

import { GovernorError } from '../../../lib/core/errors.ts';
import type { ProcessView } from '../../../lib/os/backend.ts';
import type { LimitView, RunView, ToolView, UsageView } from '../../../lib/supervisor/views.ts';
import { createClient, segment, type Client } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { printable } from '../text.ts';
import {
  ago,
  commandText,
  endText,
  limitText,
  liveRuns,
  NOTHING,
  ratioText,
  readingText,
  usageWithReason,
} from '../values.ts';
import { sourceText, stageActions, thresholds } from '../limit-text.ts';

type ProcessOfRun = ProcessView & { readonly run: string };

export async function list(session: Session, verbose: boolean): Promise<ExitCode> {
  const client = createClient(session.locations());
  const reply = await client.get('/v1/tools');
  const { tools } = reply.body as { readonly tools: readonly ToolView[] };
  if (verbose) await listVerbosely(session, client, reply.text, tools);
  else if (session.json) session.print(reply.text);
  else if (tools.length === 0) session.print('No tools. Start one with: governor run -- COMMAND');
  else session.print(...overview(session, tools));
  return EXIT.ok;
}

const COLUMNS: readonly Column[] = [
  { title: 'NAME', maxColumns: 40 },
  { title: 'STATE' },
  { title: 'STAGE' },
  { title: 'RUNS', align: 'right' },
  { title: 'PID', align: 'right' },
  { title: 'UP', align: 'right' },
  { title: 'CONTEXT', maxColumns: 24 },
  { title: 'NOTE', maxColumns: 100 },
];

function overview(session: Session, tools: readonly ToolView[]): readonly string[] {
  const nowMs = session.terminal.now();
  const rows = tools.map((tool): readonly Cell[] => {
    const live = liveRuns(tool.runs);
    const [first] = live;
    const contexts = [...new Set(live.flatMap(({ context }) => (context === null ? [] : [context])))];
    return [
      tool.name,
      tool.state === 'failed' ? { text: tool.state, paint: session.style.bad } : tool.state,
      { text: tool.stage, paint: session.style.stage(tool.stage) },
      String(live.length),
      live.map(({ pid }) => (pid === null ? NOTHING : String(pid))).join(',') || NOTHING,
      first === undefined ? NOTHING : ago(first.startedAt, nowMs),
      contexts.join(', ') || NOTHING,
      note(tool, live),
    ];
  });
  return renderTable(COLUMNS, rows, session.style.bold);
}

/** The one thing that a person should know of a tool. */
function note(tool: ToolView, live: readonly RunView[]): string {
  const unproven = live.find(({ state }) => state === 'unproven');
  if (unproven !== undefined) return `run ${unproven.id} is not proven to be stopped`;
  const elsewhere = live.find(({ governed }) => !governed);
  if (elsewhere !== undefined) return `not governed: ${elsewhere.notGovernedReason ?? 'its processes run elsewhere'}`;
  if (tool.state === 'failed')
    return `held back after repeated failures${tool.lastEnd === null ? '' : `: ${tool.lastEnd.message}`}`;
  if (tool.recovery.nextAttemptAt !== null) return `starts again at ${tool.recovery.nextAttemptAt}`;
  return live.length === 0 && tool.lastEnd !== null ? `ended: ${tool.lastEnd.message}` : '';
}

async function listVerbosely(
  session: Session,
  client: Client,
  toolsText: string,
  tools: readonly ToolView[],
): Promise<void> {
  const usageReply = await client.get('/v1/usage');
  const processReplies = await processesOf(client, tools);
  if (session.json) {
    const documents = {
      tools: JSON.parse(toolsText) as unknown,
      usage: usageReply.body,
      processes: Object.fromEntries(processReplies),
    };
    session.print(JSON.stringify(documents));
    return;
  }
  const { usage } = usageReply.body as { readonly usage: readonly UsageView[] };
  const processes = new Map(
    processReplies.map(([name, body]) => [name, (body as { readonly processes: readonly ProcessOfRun[] }).processes]),
  );
  if (tools.length === 0) session.print('No tools. Start one with: governor run -- COMMAND');
  tools.forEach((tool, index) => {
    const ofTool = usage.find((view) => view.tool === tool.name) ?? null;
    session.print(...(index === 0 ? [] : ['']), ...details(session, tool, ofTool, processes.get(tool.name) ?? []));
  });
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
    `  recovery  ${recovery.strategy}, ${recovery.attempts} attempts${recovery.nextAttemptAt === null ? '' : `, next at ${recovery.nextAttemptAt}`}`,
    ...(lastEnd === null ? [] : [`  last end  ${printable(endText(lastEnd))}`]),
    ...indent(limitTable(session, tool.limits, usage)),
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

function limitTable(session: Session, limits: readonly LimitView[], usage: UsageView | null): readonly string[] {
  const rows = limits.map((limit): readonly Cell[] => {
    const used = usage?.resources.find(({ resource }) => resource === limit.resource);
    return [
      limit.resource,
      limitText(limit),
      used === undefined ? NOTHING : usageWithReason(used),
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
