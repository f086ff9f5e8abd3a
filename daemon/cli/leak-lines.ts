/** A suspected leak, for people: what, since when, what to do, and where that verdict stands. */

import { formatAmount, formatDuration } from '../../lib/core/format.ts';
import type { LeakPointView, LeakSuspicionView, LeakView } from '../../lib/supervisor/views.ts';

export function leakLines({ suspected, last, point }: LeakView): readonly string[] {
  const lines = suspected.flatMap((one) => [
    `leak?     run ${one.run} since ${one.since}: ${one.summary}`,
    `          ${one.suggestion}`,
  ]);
  if (lines.length > 0) return [...lines, `          ${pointText(point, suspected)}`];
  return last === null ? [] : [`leak?     not any more, ended ${last.endedAt ?? ''}: run ${last.run}: ${last.summary}`];
}

/** `judged by its floor over 30m, 5m after the start; growth below 4 MiB or 6 % a window is not found` */
function pointText({ warmUpMs, windowMs, leastRise }: LeakPointView, suspected: readonly LeakSuspicionView[]): string {
  const least = leastRise
    .filter(({ resource }) => suspected.some((one) => one.resource === resource))
    .map(
      ({ resource, amount, share }) =>
        `${resource} ${formatAmount(resource, amount)}${share === 0 ? '' : ` or ${Math.round(share * 100)} %`}`,
    );
  return `judged by the floor over ${formatDuration(windowMs)}, from ${formatDuration(warmUpMs)} after the start; found from ${least.join(', ')} a window on`;
}
