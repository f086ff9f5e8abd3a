/**
 * The containment of one run in a transient scope. The scope is made when the launcher is attached, because a scope without
 * a process cannot be. Inside it the run gets a group of its own: the files of the scope itself belong to systemd, those
 * below a delegated scope are ours, so limits and kills there are plain cgroup v2.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { GovernorError } from '../../core/errors.ts';
import type { ResolvedLimits } from '../../core/limits.ts';
import { RESOURCES } from '../../core/resource.ts';
import { unsupported } from '../../core/usage.ts';
import type {
  Brakes,
  Containment,
  ContainmentRecord,
  CreateRequest,
  Inspector,
  Killer,
  LimitEnforcer,
  Membership,
  ProcessIdentity,
  RunSample,
  UsageReader,
} from '../backend.ts';
import { GroupContainment } from '../cgroup2/containment.ts';
import { createGroup, readOrNull } from '../cgroup2/directory.ts';
import { openGroup2 } from '../cgroup2/group.ts';
import { CONTROLLERS, disableControllers, enableControllers } from '../cgroup2/hierarchy.ts';
import { writeKernelFile } from '../kernel-file.ts';
import { parseOwnGroups } from '../mounts.ts';
import { sameProcess } from '../procfs/stat.ts';
import type { UserManager } from './manager.ts';

/** The group of the run inside its scope. */
const GROUP = 'tool';
const MOVE_TIMEOUT_MS = 5000;

export interface ScopeRequest extends CreateRequest {
  readonly unit: string;
  readonly manager: UserManager;
  /** Mount point of the v2 hierarchy. */
  readonly mountPoint: string;
}

export class ScopeContainment implements Containment {
  readonly wrap: readonly string[] = [];
  readonly usage: UsageReader;
  readonly inspect: Inspector;
  readonly membership: Membership;
  readonly killer: Killer;
  readonly limits: LimitEnforcer;
  readonly brakes: Brakes;
  readonly #request: ScopeRequest;
  readonly #watchers = new Set<Watcher>();
  #wanted: ResolvedLimits;
  #inner: GroupContainment | null = null;

  constructor(request: ScopeRequest, inner: GroupContainment | null = null) {
    this.#request = request;
    this.#wanted = request.limits;
    this.#inner = inner;
    this.usage = {
      sample: (nowMs, fresh) => this.#inner?.usage.sample(nowMs, fresh) ?? nothingYet(nowMs),
      close: () => this.#inner?.usage.close(),
    };
    this.inspect = {
      processes: () => this.#inner?.inspect.processes() ?? [],
      sockets: () => this.#inner?.inspect.sockets() ?? [],
      files: () => this.#inner?.inspect.files() ?? [],
    };
    this.membership = { exact: true, members: () => this.#inner?.membership.members() ?? [] };
    this.killer = {
      kill: async () => this.#inner?.killer.kill(),
      signal: async (signal) => (await this.#inner?.killer.signal(signal)) ?? 0,
    };
    this.limits = { apply: async (limits) => this.#apply(limits) };
    this.brakes = {
      supports: (action) => this.#inner?.brakes.supports(action) ?? { reason: 'the run has not started' },
      set: async (action, limits) => this.#started().brakes.set(action, limits),
      lift: async (action) => this.#inner?.brakes.lift(action),
    };
  }

  /** Holds no directory before `attach()`: read it again after that. */
  get record(): ContainmentRecord {
    const { runId, unit } = this.#request;
    return { backend: 'cgroup2-scope', cookie: runId, unit, directories: this.#inner?.record.directories ?? [] };
  }

  async attach(identity: ProcessIdentity): Promise<void> {
    const { manager, unit, tool, runId, tempDir } = this.#request;
    if (!sameProcess(identity)) throw new GovernorError('launch_failed', ended(identity.pid));
    await manager.startScope(unit, `Governor run of ${tool}`, identity.pid);
    const scope = await this.#scopeOf(identity.pid);
    const directory = join(scope, GROUP);
    const inode = await createGroup(directory);
    // A group that holds processes cannot hand controllers down: first the move, then the controllers, then the limits.
    await disableControllers(scope);
    await writeKernelFile(join(directory, 'cgroup.procs'), String(identity.pid));
    await enableControllers(scope, CONTROLLERS);
    const inner = new GroupContainment(
      openGroup2({ backend: 'cgroup2-scope', directory, inode, cookie: runId, tempDir }),
    );
    this.#inner = inner;
    await inner.limits.apply(this.#wanted);
    await inner.attach(identity);
    for (const watcher of this.#watchers) watcher.dispose = inner.watch(watcher.onChange);
  }

  /** The move is a job of the manager: waits until the kernel shows the process in the scope. */
  async #scopeOf(pid: number): Promise<string> {
    const { unit, mountPoint } = this.#request;
    const deadline = performance.now() + MOVE_TIMEOUT_MS;
    for (;;) {
      const text = readOrNull(`/proc/${pid}/cgroup`);
      if (text === null) throw new GovernorError('launch_failed', ended(pid));
      const path = parseOwnGroups(text).find((group) => group.controllers.length === 0)?.path ?? '';
      if (path.endsWith(`/${unit}`)) return join(mountPoint, path);
      if (performance.now() >= deadline) {
        throw new GovernorError(
          'launch_failed',
          `systemd --user did not move process ${pid} into ${unit} in ${MOVE_TIMEOUT_MS} ms`,
        );
      }
      await sleep(2);
    }
  }

  async #apply(limits: ResolvedLimits): ReturnType<LimitEnforcer['apply']> {
    this.#wanted = limits;
    if (this.#inner !== null) return this.#inner.limits.apply(limits);
    const note = 'takes effect when the process enters its scope';
    return RESOURCES.map((resource) => ({ resource, enforcement: 'none', note }));
  }

  #started(): GroupContainment {
    if (this.#inner === null) throw new GovernorError('illegal_state', 'the run has not started');
    return this.#inner;
  }

  watch(onChange: () => void): () => void {
    const watcher: Watcher = { onChange, dispose: this.#inner?.watch(onChange) ?? null };
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
      watcher.dispose?.();
    };
  }

  /** systemd removes an empty scope by itself; it is asked to where it did not. */
  async remove(deadlineMs: number): Promise<void> {
    if (this.#inner === null) return;
    await this.#inner.remove(deadlineMs);
    await this.#request.manager.stopUnit(this.#request.unit);
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.dispose?.();
    this.#watchers.clear();
    this.#inner?.close();
  }
}

function ended(pid: number): string {
  return `process ${pid} ended before it could be contained`;
}

interface Watcher {
  readonly onChange: () => void;
  dispose: (() => void) | null;
}

const NOT_STARTED = unsupported('the run has not started');

function nothingYet(nowMs: number): RunSample {
  return {
    atMs: nowMs,
    populated: false,
    memory: NOT_STARTED,
    cpuTimeMs: NOT_STARTED,
    fileHandles: NOT_STARTED,
    sockets: NOT_STARTED,
    tempStorage: NOT_STARTED,
    tasks: NOT_STARTED,
    oomKills: 0,
    cpuThrottledMs: 0,
    memoryStallMs: null,
  };
}
