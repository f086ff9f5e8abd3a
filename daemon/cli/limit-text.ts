/** Where a limit comes from and what it does at its stages, for `ls -v`. */

import { THRESHOLD_STAGES } from '../../lib/core/ladder.ts';
import type { LimitView } from '../../lib/supervisor/views.ts';
import { NOTHING } from './values.ts';

/** `75/90/100/150`, in percent of the limit. */
export function thresholds({ thresholds: ratios }: Pick<LimitView, 'thresholds'>): string {
  return ratios === null ? NOTHING : THRESHOLD_STAGES.map((stage) => Math.round(ratios[stage] * 1000) / 10).join('/');
}

/** `throttled: memory_high, cleanup: recycle`: what goes beyond telling. */
export function stageActions({ actions }: Pick<LimitView, 'actions'>): string {
  if (actions === null) return '';
  return THRESHOLD_STAGES.flatMap((stage) => {
    const acting = actions[stage].filter((action) => action !== 'notify');
    return acting.length === 0 ? [] : [`${stage}: ${acting.join(' + ')}`];
  }).join(', ');
}

/** `file: limits.yaml:12:7`, `class standard`. */
export function sourceText({ source }: Pick<LimitView, 'source'>): string {
  if (source === null) return NOTHING;
  return source.detail.startsWith(source.from) ? source.detail : `${source.from}: ${source.detail}`;
}
