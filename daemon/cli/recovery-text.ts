/** How a tool is recovered, in lines for people. */

import type { RecoveryView } from '../../lib/supervisor/views.ts';
import { ratioText } from './values.ts';

/** The strategy in force first; then what is out of the ordinary; then how each did. */
export function recoveryDetails(recovery: RecoveryView): readonly string[] {
  const { strategy, attempts, nextAttemptAt, written, replaced, degraded, onTrial, failure, rates } = recovery;
  const next = nextAttemptAt === null ? '' : `, next at ${nextAttemptAt}`;
  return [
    `${strategy}, ${attempts} attempts${next}${onTrial ? ', on trial after a failure' : ''}`,
    ...(replaced === null ? [] : [`in place of ${written} since ${replaced.since}: ${replaced.why}`]),
    ...(degraded === null ? [] : [`degraded since ${degraded.since} (${degradedText(degraded)}): ${degraded.why}`]),
    ...(failure === null ? [] : [failureText(failure)]),
    ...rates.map(
      ({ strategy: of, succeeded, failed, gaveUp, rate }) =>
        `${of}: ${succeeded} of ${succeeded + failed} succeeded (${ratioText(rate)}), gave up ${gaveUp} times`,
    ),
  ];
}

export function degradedText({ class: name, callsAtOnce }: NonNullable<RecoveryView['degraded']>): string {
  return [
    ...(name === null ? [] : [`class ${name}`]),
    ...(callsAtOnce === null ? [] : [`${callsAtOnce} ${callsAtOnce === 1 ? 'call' : 'calls'} at once`]),
  ].join(', ');
}

export function failureText({ reason, until }: NonNullable<RecoveryView['failure']>): string {
  return `not started again${until === null ? '' : ` before ${until}`}: ${reason}`;
}
