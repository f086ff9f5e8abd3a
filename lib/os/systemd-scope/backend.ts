/**
 * For a plain user whose own group is not delegated: the user's systemd hands over a transient scope, and all runs get their
 * groups in it. One scope for all and not one for each run, because systemd removes a scope together with the kernel's
 * counters at the moment it becomes empty: an OOM kill would leave no trace.
 */

import { existsSync } from 'node:fs';

import { err, ok, type Result } from '../../core/result.ts';
import { Cgroup2Backend, type OpenedBackend } from '../cgroup2/backend.ts';
import type { Mover } from '../cgroup2/containment.ts';
import { CONTROLLERS, openSubtreeBelow } from '../cgroup2/hierarchy.ts';
import type { CgroupMounts } from '../mounts.ts';
import { Keeper } from './keeper.ts';
import { UserManager } from './manager.ts';

export interface ScopeOptions {
  readonly mounts: CgroupMounts;
  readonly instance: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number;
  readonly mover: Mover | null;
}

let serial = 0;

export async function openCgroup2Scope(options: ScopeOptions): Promise<Result<OpenedBackend, string>> {
  const { mounts, instance, mover } = options;
  if (mounts.unified === null) return err('no cgroup v2 hierarchy is mounted');
  const manager = UserManager.find(options.environment, options.uid);
  if (typeof manager === 'string') return err(manager);
  // Runs may live on in the scope of a crashed daemon: every scope has a name of its own.
  serial += 1;
  const unit = `governor-${instance}-${process.pid}-${serial}.scope`;
  const keeper = new Keeper(manager, unit, mounts.unified.mountPoint);
  const scope = await keeper.start();
  if (!scope.ok) return scope;
  const opened = await openSubtreeBelow(scope.value, instance, CONTROLLERS);
  if (!opened.ok) {
    await keeper.stop();
    return opened;
  }
  const subtree = {
    ...opened.value,
    renew: async () => {
      if (!existsSync(scope.value)) await keeper.restart();
      const again = await openSubtreeBelow(scope.value, instance, CONTROLLERS);
      if (!again.ok) throw new Error(again.error);
    },
    release: async () => {
      await opened.value.release();
      await keeper.stop();
    },
  };
  const detail = `${unit} of systemd --user with ${subtree.controllers.join(', ')}`;
  return ok({ backend: new Cgroup2Backend('cgroup2-scope', subtree, mover), detail });
}
