/** A transient scope of the user's systemd for each run: for a plain user whose own group is not delegated. */

import { readOrNull } from '../cgroup2/directory.ts';
import { join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import { err, ok, type Result } from '../../core/result.ts';
import type { Backend, Containment, ContainmentRecord, CreateRequest, ResourceCapability } from '../backend.ts';
import type { OpenedBackend } from '../cgroup2/backend.ts';
import { capabilities2 } from '../cgroup2/capabilities.ts';
import { GroupContainment } from '../cgroup2/containment.ts';
import { isSameGroup } from '../cgroup2/directory.ts';
import { openGroup2 } from '../cgroup2/group.ts';
import type { CgroupMounts } from '../mounts.ts';
import { tryRun } from '../try-run.ts';
import { ScopeContainment } from './containment.ts';
import { UserManager } from './manager.ts';

export interface ScopeOptions {
  readonly mounts: CgroupMounts;
  readonly instance: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number;
  /** For the trial run. */
  readonly tempDir: string;
}

/** Makes one scope for real: which controllers it gets is only known then. */
export async function openCgroup2Scope(options: ScopeOptions): Promise<Result<OpenedBackend, string>> {
  const { unified } = options.mounts;
  if (unified === null) return err('no cgroup v2 hierarchy is mounted');
  const manager = UserManager.find(options.environment, options.uid);
  if (typeof manager === 'string') return err(manager);
  const place = { manager, instance: options.instance, mountPoint: unified.mountPoint };
  let controllers: readonly string[] = [];
  const tried = await tryRun(new ScopeBackend(place, []), options.tempDir, ({ record }) => {
    const [group] = record.directories;
    const text = group === undefined ? null : readOrNull(join(group.path, 'cgroup.controllers'));
    controllers = (text ?? '').trim().split(/\s+/);
  });
  if (!tried.ok) return tried;
  return ok({
    backend: new ScopeBackend(place, controllers),
    detail: `scopes of systemd --user with ${controllers.join(', ')}`,
  });
}

interface Place {
  readonly manager: UserManager;
  readonly instance: string;
  readonly mountPoint: string;
}

class ScopeBackend implements Backend {
  readonly id = 'cgroup2-scope';
  readonly exact = true;
  readonly capabilities: readonly ResourceCapability[];
  readonly #place: Place;

  constructor(place: Place, controllers: readonly string[]) {
    this.#place = place;
    this.capabilities = capabilities2(controllers);
  }

  async create(request: CreateRequest): Promise<Containment> {
    const { manager, instance, mountPoint } = this.#place;
    return new ScopeContainment({
      ...request,
      unit: `governor-${instance}-${request.runId}.scope`,
      manager,
      mountPoint,
    });
  }

  async adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null> {
    const [group] = record.directories;
    if (group === undefined || record.unit === undefined || !isSameGroup(group.path, group.inode)) return null;
    const { path: directory, inode } = group;
    const { cookie, unit } = record;
    const inner = new GroupContainment(openGroup2({ backend: this.id, directory, inode, cookie, tempDir }));
    await inner.resume(limits);
    const { manager, mountPoint } = this.#place;
    return new ScopeContainment({ runId: cookie, tool: '', limits, tempDir, unit, manager, mountPoint }, inner);
  }

  /** Scopes belong to systemd: nothing of ours is left. */
  async close(): Promise<void> {}
}
