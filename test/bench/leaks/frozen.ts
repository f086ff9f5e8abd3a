/** Whether what is held out is as it was committed. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../helpers/project-root.ts';

/** Digests as they were committed: of the first sets before there was a detector, of the slow one before it was run on any of them. */
export const FROZEN = ['test/bench/leaks/frozen.json', 'test/bench/leaks/frozen-slow.json'] as const;

/** The detector as it was when the slow set was committed. It may be changed after; what was measured then is of another one. */
export const DETECTOR = 'test/bench/leaks/frozen-detector.json';

/** @returns paths of files that are not as they were committed */
export function changedSince(list: (typeof FROZEN)[number] | typeof DETECTOR): readonly string[] {
  const frozen = JSON.parse(readFileSync(join(projectRoot, list), 'utf8')) as Readonly<Record<string, string>>;
  return Object.entries(frozen).flatMap(([file, digest]) => (digestOf(file) === digest ? [] : [file]));
}

export function digestOf(file: string): string {
  return createHash('sha256')
    .update(readFileSync(join(projectRoot, file)))
    .digest('hex');
}
