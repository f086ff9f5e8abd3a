/** All that daemons have left in a hierarchy, wherever they were started: for people, since it looks at every group. */

import { groupsIn, instanceOfTop, isDeserted } from './tops.ts';

/** Deeper groups than this are not looked into. */
const DEPTH_MAX = 10;

export interface LeftTop {
  readonly directory: string;
  readonly instance: string;
}

/** Top directories of daemons in which there is no process, at whatever depth. */
export async function leftTops(mountPoints: readonly string[]): Promise<readonly LeftTop[]> {
  const found: LeftTop[] = [];
  for (const mountPoint of mountPoints) await collect(mountPoint, 0, found);
  return found;
}

async function collect(directory: string, depth: number, into: LeftTop[]): Promise<void> {
  if (depth > DEPTH_MAX) return;
  for (const group of await groupsIn(directory)) {
    const instance = instanceOfTop(group);
    if (instance === null) await collect(group, depth + 1, into);
    else if (await isDeserted(group)) into.push({ directory: group, instance });
  }
}
