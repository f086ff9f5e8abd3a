/** `leaks:` of a tool, over that of the daemon. */

import { BINS } from '../lib/core/floor-window.ts';
import { isolatedElsewhere } from '../lib/core/elsewhere.ts';
import { formatDuration } from '../lib/core/format.ts';
import { DEFAULT_LEAK_SETTINGS } from '../lib/core/leak.ts';
import type { Problem } from '../lib/core/errors.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import { given } from './layers.ts';
import type { ToolPlan } from './tool.ts';

type Plan = Pick<ToolPlan, 'fields' | 'origin' | 'daemon'>;

export function leaksOf({ fields, origin, daemon }: Plan): ToolDefinition['leaks'] {
  const leaks = { ...given(daemon.leaks), ...given(fields.leaks ?? {}) };
  return {
    // Of the daemon it holds for those that can be recycled: whose conversation it has, and so knows when nothing is open.
    action:
      origin === 'run' || fields.readiness === 'none' || isolatedElsewhere(fields.command, fields.args ?? []) !== null
        ? 'notify'
        : (leaks.action ?? 'notify'),
    warmUpMs: leaks.warm_up ?? DEFAULT_LEAK_SETTINGS.warmUpMs,
    windowMs: leaks.window ?? Math.max(DEFAULT_LEAK_SETTINGS.windowMs, BINS * daemon.sampleIntervalMs),
  };
}

export function leakProblems({ fields, origin, daemon, problemAt }: ToolPlan): readonly Problem[] {
  const problems: Problem[] = [];
  const elsewhere = isolatedElsewhere(fields.command, fields.args ?? []);
  if (fields.leaks !== undefined && elsewhere !== null && origin !== 'run')
    problems.push(
      problemAt(
        ['leaks'],
        `leaks: has no effect: the process runs in ${elsewhere.where}, only its client is seen here`,
        'take it out',
      ),
    );
  else if (fields.leaks?.action === 'recycle_when_idle' && fields.readiness === 'none' && origin !== 'run')
    problems.push(
      problemAt(
        ['leaks', 'action'],
        'recycle_when_idle has no effect with readiness: none: nobody knows when nothing is open with it',
        'take one of them out',
      ),
    );
  const short = windowProblem(fields.leaks?.window, daemon.sampleIntervalMs);
  if (short !== null) problems.push(problemAt(['leaks', 'window'], short.message, short.hint));
  return problems;
}

/** Each part of a window needs a sample. */
export function windowProblem(
  windowMs: number | undefined,
  sampleIntervalMs: number,
): (Pick<Problem, 'message' | 'hint'> & { readonly hint: string }) | null {
  const leastMs = BINS * sampleIntervalMs;
  if (windowMs === undefined || windowMs >= leastMs) return null;
  return {
    message: `window: ${formatDuration(windowMs)} is shorter than ${BINS} samples (sample_interval is ${formatDuration(sampleIntervalMs)})`,
    hint: `write at least ${formatDuration(leastMs)}, or a shorter daemon.sample_interval`,
  };
}
