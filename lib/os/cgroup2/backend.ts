/** cgroup v2: with controllers in an own or delegated subtree (`cgroup2`), or without them (`cgroup2-bare`). */

import { join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import { err, ok, type Result } from '../../core/result.ts';
import type {
  Backend,
  Containment,
  ContainmentPlan,
  ContainmentRecord,
  CreateRequest,
  ResourceCapability,
  SweepQuestions,
} from '../backend.ts';
import type { CgroupMounts, Hierarchy } from '../mounts.ts';
import { capabilities2 } from './capabilities.ts';
import { GroupContainment, type Mover } from './containment.ts';
import { createGroupBelow, isSameGroup } from './directory.ts';
import { beginGracePeriod } from './grace-period.ts';
import { openGroup2 } from './group.ts';
import { CONTROLLERS, openFirstSubtree, type OwnSubtree, type SubtreeOptions } from './hierarchy.ts';
import { Tops } from './tops.ts';

export type Cgroup2Id = 'cgroup2' | 'cgroup2-scope' | 'cgroup2-bare';

export interface Cgroup2Options {
  readonly mounts: CgroupMounts;
  /** Tells daemons of one host apart: `[0-9a-z-]+`. */
  readonly instance: string;
  /** Root makes its groups below the mount point where it may, everybody else below the own group. */
  readonly asRoot: boolean;
  /** See `SubtreeOptions`. */
  readonly objection: SubtreeOptions['objection'];
  /** See `GroupLayout`. */
  readonly mover: Mover | null;
}

export interface OpenedBackend {
  readonly backend: Backend;
  readonly detail: string;
}

/** Needs the memory controller: without it the bare form says more honestly what it can do. */
export async function openCgroup2(options: Cgroup2Options): Promise<Result<OpenedBackend, string>> {
  const { unified } = options.mounts;
  if (unified === null) return err('no cgroup v2 hierarchy is mounted');
  const subtree = await openFirstSubtree(places(options, unified, CONTROLLERS));
  if (!subtree.ok) return subtree;
  if (!subtree.value.controllers.includes('memory')) {
    await subtree.value.release();
    return err(`${unified.mountPoint} offers no memory controller${v1Hint(options.mounts)}`);
  }
  return ok({ backend: new Cgroup2Backend('cgroup2', subtree.value, options.mover), detail: subtree.value.detail });
}

export async function openCgroup2Bare(options: Cgroup2Options): Promise<Result<OpenedBackend, string>> {
  const { unified } = options.mounts;
  if (unified === null) return err('no cgroup v2 hierarchy is mounted');
  const subtree = await openFirstSubtree(places(options, unified, []));
  if (!subtree.ok) return subtree;
  return ok({
    backend: new Cgroup2Backend('cgroup2-bare', subtree.value, options.mover),
    detail: subtree.value.detail,
  });
}

/** Root that may not write at the mount point is root of a container: there the own group may have been handed over. */
function places(
  options: Cgroup2Options,
  hierarchy: Hierarchy,
  controllers: readonly string[],
): readonly SubtreeOptions[] {
  const { instance, objection } = options;
  return (options.asRoot ? [true, false] : [false]).map((atRoot) => ({
    hierarchy,
    instance,
    atRoot,
    objection,
    controllers,
  }));
}

function v1Hint(mounts: CgroupMounts): string {
  return mounts.byController.has('memory') ? ' (it is mounted as cgroup v1)' : '';
}

/** Runs in groups of their own below a subtree. */
export class Cgroup2Backend implements Backend {
  readonly id: Cgroup2Id;
  readonly capabilities: readonly ResourceCapability[];
  readonly exact = true;
  readonly #subtree: OwnSubtree;
  readonly #mover: Mover | null;
  readonly #tops: Tops;

  constructor(id: Cgroup2Id, subtree: OwnSubtree, mover: Mover | null) {
    this.id = id;
    this.#subtree = subtree;
    this.#mover = mover;
    this.#tops = new Tops([subtree.directory], '');
    this.capabilities = capabilities2(subtree.controllers);
  }

  plan(runId: string): ContainmentPlan {
    return { backend: this.id, directories: this.#tops.groupsOf(runId) };
  }

  async create(request: CreateRequest): Promise<Containment> {
    const directory = join(this.#subtree.directory, request.runId);
    const inode = await createGroupBelow(directory, this.#subtree.renew);
    beginGracePeriod();
    const containment = new GroupContainment(
      openGroup2({
        backend: this.id,
        directory,
        inode,
        cookie: request.runId,
        tempDir: request.tempDir,
        mover: this.#mover,
      }),
    );
    return containment.start(request.limits);
  }

  async adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null> {
    const [group] = record.directories;
    if (group === undefined || !isSameGroup(group.path, group.inode)) return null;
    const { path: directory, inode } = group;
    this.#tops.remember([directory]);
    const containment = new GroupContainment(
      openGroup2({ backend: this.id, directory, inode, cookie: record.cookie, tempDir, mover: this.#mover }),
    );
    return containment.resume(limits);
  }

  async discard(runId: string, planned: readonly string[]): Promise<void> {
    await this.#tops.discard(runId, planned);
  }

  async sweep(questions: SweepQuestions): Promise<readonly string[]> {
    return this.#tops.sweep(questions);
  }

  async close(): Promise<void> {
    await this.#tops.close();
    await this.#subtree.release();
  }
}
