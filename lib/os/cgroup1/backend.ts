/** cgroup v1 controllers, with a v2 group beside them where that hierarchy is mounted too. */

import { basename, dirname, join } from 'node:path';

import type { ResolvedLimits } from '../../core/limits.ts';
import { ok, type Result } from '../../core/result.ts';
import type {
  Backend,
  Containment,
  ContainmentPlan,
  ContainmentRecord,
  CreateRequest,
  ResourceCapability,
  SweepQuestions,
} from '../backend.ts';
import type { SharedGroup, SharedGroups } from '../outer-groups.ts';
import type { OpenedBackend } from '../cgroup2/backend.ts';
import { GroupContainment } from '../cgroup2/containment.ts';
import { contextGroupName, isContextGroup, topOf } from '../cgroup2/context-groups.ts';
import { createGroupBelow, isSameGroup, removeGroups } from '../cgroup2/directory.ts';
import { beginGracePeriod } from '../cgroup2/grace-period.ts';
import { liftCaps, sharedGroups } from '../cgroup2/shared-group.ts';
import { Tops } from '../cgroup2/tops.ts';
import type { CgroupMounts } from '../mounts.ts';
import { capabilities1 } from './capabilities.ts';
import { openGroup1 } from './group.ts';
import { ensureTop, type HierarchyName, openDirectories, type OwnDirectories } from './hierarchy.ts';
import { openSharedGroup1 } from './shared-group.ts';

export async function openCgroup1(mounts: CgroupMounts, instance: string): Promise<Result<OpenedBackend, string>> {
  const own = await openDirectories(mounts, instance);
  if (!own.ok) return own;
  const places = [...new Set(own.value.directories.values())];
  return ok({ backend: new Cgroup1Backend(own.value), detail: places.join(', ') });
}

class Cgroup1Backend implements Backend {
  readonly id = 'cgroup1';
  readonly exact = true;
  readonly capabilities: readonly ResourceCapability[];
  readonly #own: OwnDirectories;
  readonly #tops: Tops;
  readonly shared: SharedGroups;

  constructor(own: OwnDirectories) {
    this.#own = own;
    this.#tops = new Tops(own.directories.values(), 'governor-');
    this.capabilities = capabilities1(own);
    this.shared = sharedGroups(this.#tops, (name) => openSharedGroup1(own.directories, name));
  }

  plan(runId: string, context: string | null = null): ContainmentPlan {
    return { backend: this.id, directories: this.#tops.groupsOf(runId, context) };
  }

  async create(request: CreateRequest): Promise<Containment> {
    const { runId, within } = request;
    if (within !== undefined) await this.#ensureContext(within);
    const directories = await this.#makeAll(
      within === undefined ? runId : join(contextGroupName(within.context), runId),
    );
    beginGracePeriod();
    const layout = openGroup1({ cookie: request.runId, tempDir: request.tempDir, directories });
    if (layout === null) throw new Error('unreachable: the backend was opened with a hierarchy for members');
    return new GroupContainment(layout).start(request.limits);
  }

  async #ensureContext({ context, limits }: NonNullable<CreateRequest['within']>): Promise<void> {
    const parents = [...new Set(this.#own.directories.values())];
    const isNew = await Promise.all(
      parents.map(async (parent) => {
        await ensureTop(parent);
        return ensureTop(join(parent, contextGroupName(context)));
      }),
    );
    if (!isNew.includes(true)) return;
    const group = openSharedGroup1(this.#own.directories, contextGroupName(context));
    await group?.apply(limits, 0);
    group?.close();
  }

  /** One group in each hierarchy; co-mounted controllers share theirs. What was made is removed when one fails. */
  async #makeAll(group: string): Promise<ContainmentRecord['directories']> {
    const parents = [...new Set(this.#own.directories.values())];
    const made = await Promise.allSettled(
      parents.map((parent) => createGroupBelow(join(parent, group), () => ensureAbove(parent, group))),
    );
    const inodes = new Map<string, number>();
    const errors: unknown[] = [];
    for (const [index, parent] of parents.entries()) {
      const outcome = made[index] as PromiseSettledResult<number>;
      if (outcome.status === 'fulfilled') inodes.set(parent, outcome.value);
      else errors.push(outcome.reason);
    }
    if (errors.length > 0) {
      const groups = [...inodes.keys()].map((parent) => join(parent, group));
      // Why it failed is the first error; what stays behind for this one, the next daemon sweeps.
      await removeGroups(groups, performance.now() + 100).catch((error: unknown) => errors.push(error));
      throw errors[0];
    }
    return [...this.#own.directories].map(([hierarchy, parent]) => {
      return { hierarchy, path: join(parent, group), inode: inodes.get(parent) as number };
    });
  }

  /** A crash in the middle of a removal may have left some of the groups: those that are still the same are taken up. */
  async adopt(record: ContainmentRecord, limits: ResolvedLimits, tempDir: string): Promise<Containment | null> {
    const directories = record.directories.filter(({ path, inode }) => isSameGroup(path, inode));
    this.#tops.remember(directories.map(({ path }) => path));
    const layout = openGroup1({ cookie: record.cookie, tempDir, directories });
    const resumed = layout === null ? null : await new GroupContainment(layout).resume(limits);
    await liftCaps(sharedElsewhere(directories.filter(({ path }) => this.#tops.isElsewhere(path))));
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
    await this.#own.release();
  }
}

function sharedElsewhere(groups: ContainmentRecord['directories']): readonly (SharedGroup | null)[] {
  const [first] = groups;
  if (first === undefined) return [];
  const tops = new Map(groups.map(({ hierarchy, path }) => [hierarchy as HierarchyName, topOf(path)]));
  const parent = dirname(first.path);
  const around = isContextGroup(parent) ? [openSharedGroup1(tops, basename(parent))] : [];
  return [...around, openSharedGroup1(tops, null)];
}

/** Somebody has removed what was empty; the group of a context among it gets its limits with the next look at it. */
async function ensureAbove(top: string, group: string): Promise<void> {
  await ensureTop(top);
  if (dirname(group) !== '.') await ensureTop(join(top, dirname(group)));
}
