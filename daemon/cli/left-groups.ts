/** For `governor doctor`: empty groups that daemons have left which were killed and never came back. */

import { leftTops } from '../../lib/os/cgroup2/left-tops.ts';
import { isDenied } from '../../lib/os/kernel-file.ts';
import { readCgroupMounts } from '../../lib/os/mounts.ts';
import { stateOfInstance } from '../../lib/process/instance-lock.ts';
import type { Check } from './commands/doctor.ts';

const TITLE = 'groups';

/** Removes nothing: who runs it may not know of every daemon on the host. */
export async function leftGroupsCheck(): Promise<Check> {
  const left: Left = { dead: [], unknown: [] };
  for (const { directory, instance } of await leftTops(hierarchies())) {
    const state = await stateOfInstance(instance);
    if (state !== 'alive') left[state].push(directory);
  }
  return judge(left);
}

interface Left {
  readonly dead: string[];
  readonly unknown: string[];
}

export function judge(left: Left): Check {
  if (left.dead.length + left.unknown.length === 0)
    return { state: 'ok', title: TITLE, detail: 'none is left of daemons that were killed' };
  const details: string[] = [];
  if (left.dead.length > 0)
    details.push(
      `${left.dead.length} empty, of daemons that are gone; the next daemon that starts beside them removes them, or: ${removal(left.dead)}`,
    );
  if (left.unknown.length > 0)
    details.push(
      `${left.unknown.length} empty, of daemons that cannot be asked from here (another network namespace, another version); if none of them runs: ${removal(left.unknown)}`,
    );
  return { state: 'warn', title: TITLE, detail: details.join('; ') };
}

/** rmdir(1) refuses what somebody is in. */
function removal(directories: readonly string[]): string {
  return `find ${directories.map(quoted).join(' ')} -depth -type d -exec rmdir {} +`;
}

/** One word of a shell. */
export function quoted(path: string): string {
  return /^[\w./@:-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}

/** Mount points of those in which a run may have a group. */
function hierarchies(): readonly string[] {
  if (process.platform !== 'linux') return [];
  try {
    const { unified, byController } = readCgroupMounts();
    const found = [unified, ...['memory', 'cpu', 'cpuacct', 'pids', 'freezer'].map((name) => byController.get(name))];
    return [...new Set(found.flatMap((hierarchy) => (hierarchy == null ? [] : [hierarchy.mountPoint])))];
  } catch (error) {
    // A sandbox may hide /proc/self/mountinfo.
    if (isDenied(error) || (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
