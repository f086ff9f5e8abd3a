/** `governor recommend [NAME]`. */

import { GovernorError } from '../../../lib/core/errors.ts';
import { formatAmount, formatDuration } from '../../../lib/core/format.ts';
import type { Proposal } from '../../../lib/core/recommend.ts';
import type { RecommendationView, ToolView } from '../../../lib/supervisor/views.ts';
import { createClient, segment, type Client } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { NOTHING } from '../values.ts';

const COLUMNS: readonly Column[] = [
  { title: 'TOOL', maxColumns: 40 },
  { title: 'RESOURCE' },
  { title: 'LIMIT', align: 'right' },
  { title: 'FITS', align: 'right' },
  { title: 'HIGHEST', align: 'right' },
  { title: 'CONFIDENCE' },
  { title: 'WHY' },
];

/** Of one tool with the YAML to paste; of all as one table. */
export async function recommend(session: Session, name: string | null): Promise<ExitCode> {
  const client = createClient(session.locations());
  if (name !== null) {
    const reply = await client.get(`/v1/tools/${segment(name)}/recommendation`);
    if (session.json) session.print(reply.text);
    else printOne(session, reply.body as RecommendationView);
    return EXIT.ok;
  }
  const views = await ofAll(client);
  if (session.json) session.print(JSON.stringify({ recommendations: views }));
  else if (views.length === 0) session.print('No tools. Start one with: governor run -- COMMAND');
  else session.print(...renderTable(COLUMNS, views.flatMap(rowsOf), session.style.bold));
  return EXIT.ok;
}

async function ofAll(client: Client): Promise<readonly RecommendationView[]> {
  const { tools } = (await client.get('/v1/tools')).body as { readonly tools: readonly ToolView[] };
  const views: RecommendationView[] = [];
  for (const { name } of tools) {
    try {
      views.push((await client.get(`/v1/tools/${segment(name)}/recommendation`)).body as RecommendationView);
    } catch (error) {
      // It has gone since they were listed.
      if (!(error instanceof GovernorError) || error.code !== 'unknown_tool') throw error;
    }
  }
  return views;
}

function printOne(session: Session, view: RecommendationView): void {
  session.print(...renderTable(COLUMNS, rowsOf(view), session.style.bold));
  session.print('', `Observed for ${formatDuration(view.observedMs)}.`);
  if (view.yaml !== null) session.print('', ...view.yaml.trimEnd().split('\n'));
}

function rowsOf(view: RecommendationView): readonly (readonly Cell[])[] {
  if (view.note !== undefined) return [[view.tool, '', '', '', '', '', view.note]];
  return view.proposals.map((proposal, index) => [
    index === 0 ? view.tool : '',
    proposal.resource,
    proposal.limit === null ? 'none' : amount(proposal, proposal.limit),
    amount(proposal, proposal.proposed),
    amount(proposal, proposal.highest),
    proposal.confidence,
    proposal.reason,
  ]);
}

function amount({ resource }: Proposal, value: number | null): string {
  return value === null ? NOTHING : formatAmount(resource, value);
}
