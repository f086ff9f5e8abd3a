/** Colours, only where a person looks at them. */

import type { Stage } from '../../lib/core/ladder.ts';

export type Paint = (text: string) => string;

export interface Style {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly bad: Paint;
  readonly good: Paint;
  readonly stage: (stage: Stage) => Paint;
}

/** `https://no-color.org`: NO_COLOR set to anything but the empty string turns colours off. */
export function wantsColour(isTty: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  return isTty && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

export function createStyle(colour: boolean): Style {
  return colour ? COLOURED : PLAIN;
}

const asIs: Paint = (text) => text;
const PLAIN: Style = { bold: asIs, dim: asIs, bad: asIs, good: asIs, stage: () => asIs };

/** Select Graphic Rendition, ECMA-48 8.3.117. (`util.styleText` looks at this process's own stdout by itself.) */
function paint(...codes: readonly number[]): Paint {
  return (text) => `\u001b[${codes.join(';')}m${text}\u001b[0m`;
}

const [BOLD, DIM, RED, GREEN, YELLOW, MAGENTA] = [1, 2, 31, 32, 33, 35] as const;

const STAGE_PAINT: Readonly<Record<Stage, Paint>> = {
  normal: asIs,
  warning: paint(YELLOW),
  throttled: paint(MAGENTA),
  cleanup: paint(RED),
  emergency: paint(RED, BOLD),
};

const COLOURED: Style = {
  bold: paint(BOLD),
  dim: paint(DIM),
  bad: paint(RED),
  good: paint(GREEN),
  stage: (stage) => STAGE_PAINT[stage],
};
