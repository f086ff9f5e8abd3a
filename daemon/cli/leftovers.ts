/** For `governor doctor`: how what was left is told, in one line however much it is. */

import type { Check } from './commands/doctor.ts';

/** Paths. */
export interface Leftovers {
  /** Of daemons that are proven dead. */
  readonly dead: readonly string[];
  /** Of which that cannot be told from here. */
  readonly unknown: readonly string[];
}

/** How the leftovers of one kind are told. */
export interface Telling {
  readonly title: string;
  /** What follows the number of them. */
  readonly dead: string;
  readonly unknown: string;
  /** Comes before the command that removes them. */
  readonly beforeRemoval: { readonly dead: string; readonly unknown: string };
  readonly removal: (paths: readonly string[]) => string;
}

/** More are listed with `--json` only. */
const SHOWN_MAX = 3;

export function judgeLeftovers(left: Leftovers, telling: Telling): Check {
  const details = (['dead', 'unknown'] as const).flatMap((state) => {
    const paths = left[state];
    if (paths.length === 0) return [];
    const what = `${paths.length} ${telling[state]}`;
    if (paths.length <= SHOWN_MAX) return [`${what}; ${telling.beforeRemoval[state]}: ${telling.removal(paths)}`];
    const first = paths.slice(0, SHOWN_MAX).map(quoted).join(' ');
    return [
      `${what}: ${first} and ${paths.length - SHOWN_MAX} more; ${telling.beforeRemoval[state]}: the command is in governor doctor --json`,
    ];
  });
  return details.length === 0
    ? { state: 'ok', title: telling.title, detail: 'none is left of daemons that were killed' }
    : { state: 'warn', title: telling.title, detail: details.join('; ') };
}

/** All of them, with the command; for programs. */
export function leftoversDocument(left: Leftovers, { removal }: Telling): Readonly<Record<string, unknown>> {
  const part = (paths: readonly string[]) => ({ paths, remove: paths.length === 0 ? null : removal(paths) });
  return { dead: part(left.dead), unknown: part(left.unknown) };
}

/** One word of a shell. */
export function quoted(path: string): string {
  return /^[\w./@:-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
