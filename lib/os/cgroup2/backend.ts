/** cgroup v2: with controllers in an own or delegated subtree (`cgroup2`), or without them (`cgroup2-bare`). */

import { dirname, join } from 'node:path';

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
import type { SharedGroups } from '../outer-groups.ts';
import type { CgroupMounts, Hierarchy } from '../mounts.ts';
import { capabilities2 } from './capabilities.ts';
import { GroupContainment, type Mover } from './containment.ts';
import { topOf } from './context-groups.ts';
import { createGroupBelow, ensureGroup, isSameGroup } from './directory.ts';
import { beginGracePeriod } from './grace-period.ts';
import { openGroup2 } from './group.ts';
import { liftCaps, openSharedGroup2, sharedGroups } from './shared-group.ts';
import { CONTROLLERS, enableControllers, openFirstSubtree, type OwnSubtree, type SubtreeOptions } from './hierarchy.ts';
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
  readonly shared?: SharedGroups;

  constructor(id: Cgroup2Id, subtree: OwnSubtree, mover: Mover | null) {
    this.id = id;
    this.#subtree = subtree;
    this.#mover = mover;
    this.#tops = new Tops([subtree.directory], '');
    this.capabilities = capabilities2(subtree.controllers);
    // Without controllers there is nothing to hold runs with.
    if (subtree.controllers.length > 0)
      this.shared = sharedGroups(this.#tops, (name) => openSharedGroup2(join(subtree.directory, name ?? '.')));
  }

  plan(runId: string, context: string | null = null): ContainmentPlan {
    return { backend: this.id, directories: this.#tops.groupsOf(runId, context) };
  }

  async create(request: CreateRequest): Promise<Containment> {
    const { within } = request;
    const [directory] = this.#tops.groupsOf(request.runId, within?.context ?? null);
    if (directory === undefined) throw new Error('unreachable: the backend has a directory');
    const renew = async (): Promise<void> => {
      await this.#subtree.renew();
      if (within !== undefined) await this.#ensureContext(dirname(directory), within.limits);
    };
    if (within !== undefined) await renew();
    const inode = await createGroupBelow(directory, renew);
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

  /** Controllers are handed down again, too: a daemon may have died between the two. */
  async #ensureContext(directory: string, limits: ResolvedLimits): Promise<void> {
    const isNew = await ensureGroup(directory);
    await enableControllers(directory, this.#subtree.controllers);
    if (!isNew) return;
    const group = openSharedGroup2(directory);
    await group?.apply(limits, 0);
    group?.close();
  }

  async adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null> {
    const [group] = record.directories;
    if (group === undefined || !isSameGroup(group.path, group.inode)) return null;
    const { path: directory, inode } = group;
    this.#tops.remember([directory]);
    const containment = new GroupContainment(
      openGroup2({ backend: this.id, directory, inode, cookie: record.cookie, tempDir, mover: this.#mover }),
    );
    const resumed = await containment.resume(limits);
    if (this.#tops.isElsewhere(directory))
      await liftCaps([...new Set([dirname(directory), topOf(directory)])].map(openSharedGroup2));
    return resumed;
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
