/** What lies outside the operating point and is benign: how often it is suspected, as a curve. */

import type { Family } from './model.ts';
import { seedOf } from './random.ts';
import type { Trial } from './trials.ts';

const MIB = 2 ** 20;

export const BEYOND = [0.25, 0.5, 0.75, 1, 1.5, 2, 4] as const;

/** Growth at an even pace that ends by itself so many windows after the warm-up. */
function fills(windows: number): Family {
  return {
    name: `fills for ${windows} W`,
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = random.scaled(20, 400) * MIB;
      const endsMs = pace.warmUpMs + windows * pace.windowMs;
      const full = base * random.between(0.5, 2) * Math.max(1, windows);
      return {
        live: (atMs) => base + full * Math.min(1, atMs / endsMs),
        garbage: { bytes: base * 0.1, periodMs: pace.windowMs / 100 },
      };
    },
  };
}

/** Load that comes and goes in so many windows. */
function cycles(windows: number): Family {
  return {
    name: `cycle of ${windows} W`,
    leaking: false,
    resource: 'memory',
    model(random, pace) {
      const base = random.scaled(20, 400) * MIB;
      const phase = random.between(0, 2 * Math.PI);
      return {
        live: (atMs) => base * (1 + 0.25 * Math.sin(phase + (2 * Math.PI * atMs) / (windows * pace.windowMs))),
        garbage: { bytes: base * 0.1, periodMs: pace.windowMs / 100 },
      };
    },
  };
}

export function outsideTrials(
  each = 40,
): readonly (Trial & { readonly windows: number; readonly kind: 'fills' | 'cycle' })[] {
  return BEYOND.flatMap((windows) =>
    (
      [
        ['fills', fills(windows)],
        ['cycle', cycles(windows)],
      ] as const
    ).flatMap(([kind, family]) =>
      Array.from({ length: each }, (_, index) => ({
        family,
        index,
        rate: 0,
        seed: seedOf(`outside ${family.name} ${index}`),
        windows,
        kind,
      })),
    ),
  );
}
