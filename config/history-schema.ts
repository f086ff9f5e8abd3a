/** `daemon.history`: how much of the usage of tools is kept, and how finely. */

import { z } from 'zod';
import { DEFAULT_HISTORY } from './defaults.ts';
import { closed, duration, size } from './fields.ts';
import type { Path } from './problems.ts';

const OFF = 'off';
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export const HistorySchema = z.union([
  z.enum([OFF]).meta({ description: 'Nothing is recorded; what there is stays as it is.' }),
  closed({
    keep: closed({
      '1s': duration(
        { description: 'How long a value a second is kept. Default 10m.' },
        { min: MINUTE_MS, max: DAY_MS },
      ).optional(),
      '10s': duration(
        { description: 'How long a value every ten seconds is kept. Default 6h.' },
        { min: MINUTE_MS, max: 30 * DAY_MS },
      ).optional(),
      '1m': duration(
        { description: 'How long a value a minute is kept. Default 14d.' },
        { min: MINUTE_MS, max: 3_650 * DAY_MS },
      ).optional(),
    }).optional(),
    max_size: size(
      { description: 'Of the file: the oldest values go where it would grow beyond. Default 1GiB.' },
      { min: 16 * 1024 ** 2, max: 1024 ** 4 },
    ).optional(),
  }),
]);

export type HistoryFields = z.infer<typeof HistorySchema>;

export interface HistoryConfig {
  /** Seconds that values of each step are kept. */
  readonly keepS: { readonly '1s': number; readonly '10s': number; readonly '1m': number };
  readonly maxBytes: number;
}

/** Null: it is off. */
export function historyConfig(fields: HistoryFields | undefined): HistoryConfig | null {
  if (fields === OFF) return null;
  const keep = fields?.keep ?? {};
  const seconds = (ms: number | undefined, usual: number): number => Math.ceil((ms ?? usual) / 1000);
  return {
    keepS: {
      '1s': seconds(keep['1s'], DEFAULT_HISTORY.keepMs['1s']),
      '10s': seconds(keep['10s'], DEFAULT_HISTORY.keepMs['10s']),
      '1m': seconds(keep['1m'], DEFAULT_HISTORY.keepMs['1m']),
    },
    maxBytes: fields?.max_size ?? DEFAULT_HISTORY.maxBytes,
  };
}

/** A step that is kept no longer than a finer one has no effect. Paths are below `daemon.history`. */
export function historyProblems(
  fields: HistoryFields | undefined,
): readonly { readonly path: Path; readonly message: string; readonly hint: string }[] {
  const config = historyConfig(fields);
  if (config === null) return [];
  const steps = ['1s', '10s', '1m'] as const;
  return steps.slice(1).flatMap((step, index) => {
    const finer = steps[index] ?? '1s';
    if (config.keepS[step] >= config.keepS[finer]) return [];
    return [
      {
        path: ['keep', fields !== OFF && fields?.keep?.[step] !== undefined ? step : finer],
        message: `keep: values of ${step} are kept for a shorter time than those of ${finer}`,
        hint: `write at least as long a time for ${step} as for ${finer}; without one it is its default`,
      },
    ];
  });
}
