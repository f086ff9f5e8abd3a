/** `governor ls`: one line a tool, and what ended of those that are gone; with -v everything there is to know of each. */

import type { EndReason } from '../../../lib/core/audit-record.ts';
import { GovernorError } from '../../../lib/core/errors.ts';
import { rank, THRESHOLD_STAGES, type Stage } from '../../../lib/core/ladder.ts';
import { ACTIONS, isEnding } from '../../../lib/core/response.ts';
import type {
  BudgetView,
  LimitView,
  ResourceUsageView,
  RunView,
  ToolView,
  UsageView,
} from '../../../lib/supervisor/views.ts';
import { budgetLines } from '../budget-rows.ts';
import { createClient, type Client } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { degradedText, failureText } from '../recovery-text.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { stageActions } from '../limit-text.ts';
import { ago, endText, liveRuns, NOTHING, ratioText } from '../values.ts';

export interface ListOptions {
  /** Only this tool. */
  readonly name: string | null;
  readonly verbose: boolean;
  /** Every ended run that is kept, however long ago. */
  readonly all: boolean;
}

/** What a person sees without asking for more. */
const ENDED_SHOWN = 5;
const ENDED_WITHIN_MS = 60 * 60_000;
const ENDED_KEPT = 1000;

export async function list(session: Session, options: ListOptions): Promise<ExitCode> {
  const client = createClient(session.locations());
  const listed = await listedTools(client, options.name);
  const ended = await endedRuns(client, listed.all, options.name);
  if (listed.tools.length === 0 && ended.length === 0 && options.name !== null) {
    throw new GovernorError(
      'unknown_tool',
      `There is no tool ${JSON.stringify(options.name)}, and none of that name ended lately`,
    );
  }
  if (options.verbose) {
    await (await import('./list-details.ts')).listDetails(session, client, listed.tools, ended);
  } else if (session.json) {
    session.print(JSON.stringify({ tools: listed.tools, ended }));
  } else {
    if (listed.tools.length > 0) session.print(...overview(session, listed.tools, await usageOf(client, listed.tools)));
    else if (options.name === null) session.print('No tools. Start one with: governor run -- COMMAND');
    session.print(...endedLines(session, ended, options, listed.tools.length > 0));
    if (options.name === null) session.print(...(await sharedLines(session, client)));
  }
  return EXIT.ok;
}

async function listedTools(
  client: Client,
  name: string | null,
): Promise<{ readonly all: readonly ToolView[]; readonly tools: readonly ToolView[] }> {
  const { tools: all } = (await client.get('/v1/tools')).body as { readonly tools: readonly ToolView[] };
  return { all, tools: name === null ? all : all.filter((tool) => tool.name === name) };
}

/** Of tools at a stage: only they have something to say of it. */
async function usageOf(client: Client, tools: readonly ToolView[]): Promise<readonly UsageView[]> {
  if (tools.every(({ stage }) => stage === 'normal')) return [];
  return ((await client.get('/v1/usage')).body as { readonly usage: readonly UsageView[] }).usage;
}

/** Of tools that are listed no more: those of `governor run` go with their last run. */
async function endedRuns(
  client: Client,
  listed: readonly ToolView[],
  name: string | null,
): Promise<readonly RunView[]> {
  const names = new Set(listed.map((tool) => tool.name));
  const { runs } = (await client.get(`/v1/runs?state=ended&limit=${ENDED_KEPT}`)).body as {
    readonly runs: readonly RunView[];
  };
  return runs.filter(({ tool }) => !names.has(tool) && (name === null || tool === name));
}

async function sharedLines(session: Session, client: Client): Promise<readonly string[]> {
  const { budgets } = (await client.get('/v1/usage')).body as { readonly budgets: readonly BudgetView[] };
  const lines = budgetLines(session, budgets);
  return lines.length === 0 ? [] : ['', ...lines];
}

/** The longest reason of Governor's own, an OOM kill, is there whole; one that somebody has written for a limit may be cut. */
const REASON_COLUMNS = 280;

const ENDED_COLUMNS: readonly Column[] = [
  { title: 'ENDED', maxColumns: 40 },
  { title: 'RUN' },
  { title: 'AGO', align: 'right' },
  { title: 'WHY', maxColumns: REASON_COLUMNS },
];

function endedLines(
  session: Session,
  ended: readonly RunView[],
  { name, all }: ListOptions,
  below: boolean,
): readonly string[] {
  const nowMs = session.terminal.now();
  const recent = ended.filter(({ endedAt }) => nowMs - Date.parse(endedAt ?? '') <= ENDED_WITHIN_MS);
  const shown = all || name !== null ? ended : recent.slice(0, ENDED_SHOWN);
  if (shown.length === 0) return [];
  const rows = shown.map((run): readonly Cell[] => [
    run.tool,
    run.id,
    ago(run.endedAt ?? run.startedAt, nowMs),
    run.end === null ? NOTHING : endText(run.end),
  ]);
  const more = ended.length - shown.length;
  return [
    ...(below ? [''] : []),
    ...renderTable(ENDED_COLUMNS, rows, session.style.dim),
    ...(more === 0 ? [] : [session.style.dim(`${more} more: governor ls --all`)]),
  ];
}

const COLUMNS: readonly Column[] = [
  { title: 'NAME', maxColumns: 40 },
  { title: 'STATE' },
  { title: 'STAGE' },
  { title: 'RUNS', align: 'right' },
  { title: 'PID', align: 'right' },
  { title: 'UP', align: 'right' },
  { title: 'CONTEXT', maxColumns: 24 },
  { title: 'NOTE', maxColumns: REASON_COLUMNS },
];

function overview(session: Session, tools: readonly ToolView[], usage: readonly UsageView[]): readonly string[] {
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
      note(
        tool,
        live,
        usage.find((view) => view.tool === tool.name),
      ),
    ];
  });
  return renderTable(COLUMNS, rows, session.style.bold);
}

/** The one thing that a person should know of a tool. */
function note(tool: ToolView, live: readonly RunView[], usage: UsageView | undefined): string {
  const unproven = live.find(({ state }) => state === 'unproven');
  if (unproven !== undefined) return `run ${unproven.id} is not proven to be stopped`;
  const elsewhere = live.find(({ governed }) => !governed);
  if (elsewhere !== undefined) return `not governed: ${elsewhere.notGovernedReason ?? 'its processes run elsewhere'}`;
  if (tool.signIn?.state === 'needed') return tool.signIn.message ?? 'sign in';
  if (tool.state === 'failed')
    return `held back after repeated failures${tool.lastEnd === null ? '' : `: ${tool.lastEnd.message}`}`;
  if (tool.recovery.failure !== null && live.length === 0) return failureText(tool.recovery.failure);
  return [againText(tool), degradedNote(tool), stageText(tool, usage), leakText(tool), endedText(tool, live)]
    .filter((part) => part !== '')
    .join('; ');
}

function leakText({ leaks }: ToolView): string {
  const resources = [...new Set(leaks.suspected.map(({ resource }) => resource))];
  return resources.length === 0 ? '' : `suspected of leaking ${resources.join(', ')}: governor ls -v`;
}

function againText({ recovery }: ToolView): string {
  return recovery.nextAttemptAt === null ? '' : `starts again at ${recovery.nextAttemptAt}`;
}

/** What its runs are given less of, after a failure. */
function degradedNote({ recovery: { degraded } }: ToolView): string {
  return degraded === null ? '' : `degraded: ${degradedText(degraded)}`;
}

/** CPU may be at any stage of its ladder and is only held back: the name of the stage alone says the wrong thing. */
function stageText(tool: ToolView, usage: UsageView | undefined): string {
  const highest = usage?.resources.find(({ stage }) => stage === tool.stage && stage !== 'normal');
  if (highest === undefined) return '';
  const used = `${highest.resource} at ${ratioText(highest.ratio)} of its limit`;
  const limit = tool.limits.find(({ resource }) => resource === highest.resource);
  return limit !== undefined && isOnlyHeldBack(tool.stage, highest, limit)
    ? `${used}: held back, not ended (${stageActions(limit)})`
    : used;
}

/** A quota or nice there is everywhere; of other resources a brake may be missing. In a dry run nothing is enforced. */
function isOnlyHeldBack(stage: Stage, { resource, enforcement }: ResourceUsageView, { actions }: LimitView): boolean {
  if (resource !== 'cpu' || actions === null || (enforcement !== 'kernel' && enforcement !== 'polled')) return false;
  const entered = THRESHOLD_STAGES.filter((below) => rank(below) <= rank(stage)).flatMap((below) => actions[below]);
  return entered.some((action) => action === 'cpu_quota' || action === 'nice') && !entered.some(endsRun);
}

const ENDING: ReadonlySet<string> = new Set(ACTIONS.filter(isEnding));
const endsRun = (action: string): boolean => ENDING.has(action);

/** Ends that somebody wanted say nothing once the tool runs again. */
const WANTED: ReadonlySet<EndReason> = new Set<EndReason>([
  'requested',
  'restart',
  'idle',
  'context_ended',
  'client_died',
  'shutdown',
  'unregistered',
  'recovery',
]);

function endedText({ lastEnd, managed }: ToolView, live: readonly RunView[]): string {
  if (lastEnd === null) return '';
  if (live.length === 0) return `ended: ${lastEnd.message}`;
  const isWanted = WANTED.has(lastEnd.reason) || (lastEnd.reason === 'exited' && !managed);
  return isWanted ? '' : `before: ${lastEnd.message}`;
}
