/** For `governor doctor`: empty groups that daemons have left which were killed and never came back. */

import { leftTops } from '../../lib/os/cgroup2/left-tops.ts';
import { isDenied } from '../../lib/os/kernel-file.ts';
import { readCgroupMounts } from '../../lib/os/mounts.ts';
import { stateOfInstance } from '../../lib/process/instance-lock.ts';
import { quoted, type Leftovers, type Telling } from './leftovers.ts';

export const GROUPS_TELLING: Telling = {
  title: 'groups',
  dead: 'empty, of daemons that are gone',
  unknown: 'empty, of daemons that cannot be asked from here (another network namespace, another version)',
  beforeRemoval: {
    dead: 'the next daemon that starts beside them removes them, or',
    unknown: 'if none of them runs',
  },
  // rmdir(1) refuses what somebody is in.
  removal: (paths) => `find ${paths.map(quoted).join(' ')} -depth -type d -exec rmdir {} +`,
};

/** Removes nothing: who runs it may not know of every daemon on the host. */
export async function leftGroups(): Promise<Leftovers> {
  const left = { dead: [] as string[], unknown: [] as string[] };
  for (const { directory, instance } of await leftTops(hierarchies())) {
    const state = await stateOfInstance(instance);
    if (state !== 'alive') left[state].push(directory);
  }
  return left;
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
