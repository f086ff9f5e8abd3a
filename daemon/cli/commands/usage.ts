/** `governor usage`. */

import type { BudgetView, ResourceUsageView, UsageView } from '../../../lib/supervisor/views.ts';
import { budgetTitle, limited } from '../budget-rows.ts';
import { createClient, segment } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { bar, limitText, NOTHING, ratioText, usageText, usageWithReason } from '../values.ts';

const COLUMNS: readonly Column[] = [
  { title: 'TOOL', maxColumns: 40 },
  { title: 'RESOURCE' },
  { title: 'USED', align: 'right', maxColumns: 80 },
  { title: 'LIMIT', align: 'right' },
  { title: '%', align: 'right' },
  { title: '' },
  { title: 'STAGE' },
  { title: 'QUALITY' },
  { title: 'ENFORCED' },
];

export async function usage(session: Session, name: string | null, verbose: boolean): Promise<ExitCode> {
  const client = createClient(session.locations());
  const reply = await client.get(name === null ? '/v1/usage' : `/v1/tools/${segment(name)}/usage`);
  if (session.json) {
    session.print(reply.text);
    return EXIT.ok;
  }
  const all = reply.body as { readonly usage: readonly UsageView[]; readonly budgets: readonly BudgetView[] };
  const [views, budgets] = name === null ? [all.usage, all.budgets] : [[reply.body as UsageView], []];
  if (views.length === 0) session.print('No tools. Start one with: governor run -- COMMAND');
  else
    session.print(
      ...renderTable(
        COLUMNS,
        [
          ...views.flatMap((view) => rowsOf(session, view, verbose)),
          ...budgets.flatMap((view) => sharedRows(session, view, verbose)),
        ],
        session.style.bold,
      ),
    );
  return EXIT.ok;
}

function rowsOf(session: Session, view: UsageView, verbose: boolean): readonly (readonly Cell[])[] {
  const total = view.resources.map((resource, index) =>
    row(
      session,
      index === 0 ? view.tool : '',
      resource,
      verbose ? usageWithReason(resource, view.state) : usageText(resource),
    ),
  );
  if (!verbose) return total;
  const runs = view.runs.flatMap((run) =>
    run.resources.map((resource, index) =>
      row(session, index === 0 ? `  run ${run.run}` : '', resource, usageWithReason(resource, null)),
    ),
  );
  return [...total, ...runs];
}

/** Only what has a limit: what they use without one stands in the lines of the tools. */
function sharedRows(session: Session, view: BudgetView, verbose: boolean): readonly (readonly Cell[])[] {
  return limited(view).map((resource, index) =>
    row(
      session,
      index === 0 ? budgetTitle(view) : '',
      resource,
      verbose ? usageWithReason(resource, null) : usageText(resource),
    ),
  );
}

function row(session: Session, title: string, resource: ResourceUsageView, used: string): readonly Cell[] {
  const paint = session.style.stage(resource.stage);
  return [
    title,
    resource.resource,
    used,
    // `inodes` of a usage is what is used, not what is allowed.
    limitText({ resource: resource.resource, limit: resource.limit }),
    { text: ratioText(resource.ratio), paint },
    { text: bar(resource.ratio), paint },
    { text: resource.stage, paint },
    resource.usage === null ? NOTHING : resource.quality,
    resource.enforcement,
  ];
}
