/** When each stage is entered, what it does, and how long things may last. */

import { z } from 'zod';
import { DEFAULT_THRESHOLDS, THRESHOLD_STAGES } from '../lib/core/ladder.ts';
import type { ThresholdStage } from '../lib/core/ladder.ts';
import { formatRatio } from '../lib/core/format.ts';
import type { Resource } from '../lib/core/resource.ts';
import { ALLOWED_ACTIONS } from '../lib/core/response.ts';
import { DURATION_PATTERN, parseDuration } from './units.ts';
import { NONE, amount, closed, duration, orNone, ratio } from './fields.ts';
import type { IssueParams } from './fields.ts';

const stages = closed({
  warning: ratio({ description: 'Default 75%.' }).optional(),
  throttled: ratio({ description: 'Default 90%.' }).optional(),
  cleanup: ratio({ description: 'Default 100%.' }).optional(),
  emergency: ratio({ description: 'Default 150%. Kernel limits are set here.' }).optional(),
})
  .superRefine((given, context) => {
    const wrong = firstNotIncreasing(given);
    if (wrong === null) return;
    const params: IssueParams = { kind: 'value', hint: wrong.hint, plain: true };
    context.addIssue({ code: 'custom', message: wrong.message, params, path: [wrong.stage] });
  })
  .optional();

/** `stages:` of a tool: shares of the limit, strictly increasing together with the defaults. */
export const StagesSchema = closed({
  memory: stages,
  cpu: stages,
  file_handles: stages,
  sockets: stages,
  runtime: stages,
  temp_storage: stages,
  tasks: stages,
}).meta({ description: 'At which share of the limit each stage is entered, by resource.' });

/** `actions:` of a tool. An empty list means: only tell people. */
export const ActionsSchema = closed({
  memory: actions('memory'),
  cpu: actions('cpu'),
  file_handles: actions('file_handles'),
  sockets: actions('sockets'),
  runtime: actions('runtime'),
  temp_storage: actions('temp_storage'),
  tasks: actions('tasks'),
}).meta({ description: 'What each stage does, by resource, in this order. An empty list: only tell.' });

const DAY_MS = 86_400_000;
const escalation = amount(
  orNone((raw) => parseDuration(raw, { min: 100, max: DAY_MS })),
  { type: 'string', pattern: `(${DURATION_PATTERN})|(^${NONE}$)`, examples: ['30s', NONE] },
);

export const LadderSchema = closed({
  quiet: duration(
    { description: 'After an action: quiet for the same or a lower stage. Default 15s.' },
    { min: 100, max: DAY_MS },
  ).optional(),
  escalate_after: z
    .union([
      escalation,
      closed(
        {
          memory: escalation.optional(),
          cpu: escalation.optional(),
          file_handles: escalation.optional(),
          sockets: escalation.optional(),
          temp_storage: escalation.optional(),
          tasks: escalation.optional(),
        },
        { runtime: 'runtime only grows, its limit is a deadline already' },
      ),
    ])
    .optional()
    .meta({
      description: `How long a throttle may last before it becomes a cleanup; one for all resources that escalate, or by resource; \`${NONE}\`: for ever. Default 30s, cpu ${NONE}.`,
    }),
  cpu_warm_up: duration(
    { description: 'CPU is not judged this long after a start. Default 10s.' },
    { min: 1, max: DAY_MS },
  ).optional(),
  exit_margin: ratio(
    { description: 'How far below its entry a stage is left, in points of the limit. Default 5%.' },
    { min: 0.001, max: 0.5 },
  ).optional(),
});

function actions(resource: Resource) {
  const list = z.array(z.enum(ALLOWED_ACTIONS[resource])).optional();
  return closed({ warning: list, throttled: list, cleanup: list, emergency: list }).optional();
}

type GivenStages = Readonly<Partial<Record<ThresholdStage, number | undefined>>>;

/** The first pair of neighbours that is not increasing, blamed on the higher one that was given. */
function firstNotIncreasing(given: GivenStages): { stage: ThresholdStage; message: string; hint: string } | null {
  for (const [index, upper] of THRESHOLD_STAGES.entries()) {
    const lower = THRESHOLD_STAGES[index - 1];
    if (lower === undefined) continue;
    const lowerAt = given[lower] ?? DEFAULT_THRESHOLDS[lower];
    const upperAt = given[upper] ?? DEFAULT_THRESHOLDS[upper];
    if (lowerAt < upperAt) continue;
    const relation = lowerAt === upperAt ? 'the same as' : 'below';
    const origin = (stage: ThresholdStage): string => (given[stage] === undefined ? ' (its default)' : '');
    return {
      stage: given[upper] === undefined ? lower : upper,
      message: `${upper} at ${formatRatio(upperAt)}${origin(upper)} is ${relation} ${lower} at ${formatRatio(lowerAt)}${origin(lower)}`,
      hint: 'stages must increase: warning < throttled < cleanup < emergency',
    };
  }
  return null;
}
