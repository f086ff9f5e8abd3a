/** Limits that several runs share, as `usage` and `ls` show them. */

import type { BudgetResourceView, BudgetView } from '../../lib/supervisor/views.ts';
import type { Session } from './session.ts';
import { renderTable, type Cell, type Column } from './table.ts';
import { limitText, NOTHING, ratioText, usageText } from './values.ts';

/** `all tools`, `context ci-7`. */
export function budgetTitle({ context }: BudgetView): string {
  return context === null ? 'all tools' : `context ${context}`;
}

export function limited({ resources }: BudgetView): readonly BudgetResourceView[] {
  return resources.filter(({ limit }) => limit !== null);
}

const COLUMNS: readonly Column[] = [
  { title: 'SHARED BY', maxColumns: 40 },
  { title: 'STAGE' },
  { title: 'RUNS', align: 'right' },
  { title: 'HIGHEST', maxColumns: 60 },
  { title: 'NOTE', maxColumns: 100 },
];

/** One line a budget; nothing where there is none. */
export function budgetLines(session: Session, budgets: readonly BudgetView[]): readonly string[] {
  if (budgets.length === 0) return [];
  const rows = budgets.map((budget): readonly Cell[] => {
    const [highest] = limited(budget).toSorted((a, b) => (b.ratio ?? 0) - (a.ratio ?? 0));
    return [
      budgetTitle(budget),
      { text: budget.stage, paint: session.style.stage(budget.stage) },
      String(budget.runs),
      highest === undefined || highest.usage === null
        ? NOTHING
        : `${highest.resource} ${ratioText(highest.ratio)}: ${usageText(highest)} of ${limitText(highest)}`,
      budget.note === undefined ? '' : `polled: ${budget.note}`,
    ];
  });
  return renderTable(COLUMNS, rows, session.style.bold);
}
