/** The cgroup backends of this host, for suites that run once on each. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { DEFAULT_THRESHOLDS } from '../../lib/core/ladder.ts';
import type { ResolvedLimits } from '../../lib/core/limits.ts';
import type { Resource } from '../../lib/core/resource.ts';
import { DEFAULT_ACTIONS } from '../../lib/core/response.ts';
import type { Backend, BackendId, Containment, CreateRequest } from '../../lib/os/backend.ts';
import { NO_LIMITS } from '../../lib/core/limits.ts';
import { selectBackend } from '../../lib/os/select.ts';
import { isTmpfs } from '../../lib/os/tmpfs.ts';
import type { TestScope } from './fixture.ts';
import { waitFor } from './wait-for.ts';

export const CGROUP_BACKENDS: readonly BackendId[] = ['cgroup2', 'cgroup1', 'cgroup2-scope', 'cgroup2-bare'];

/** Where the benches' temp directories lie: on a disk, as the daemon's do, where there is one. */
export const TEMP_PARENT = [tmpdir(), '/var/tmp'].find((path) => !isTmpfs(path)) ?? tmpdir();

export interface Bench {
  readonly id: BackendId;
  readonly backend: Backend;
  /** A second one of the same kind and instance, as a daemon that starts after a crash would open it. */
  reopen(): Promise<Backend>;
  /** The same, of a daemon that has its groups in another place. */
  openElsewhere(): Promise<Backend>;
  /** Contains nothing yet; at the end of the test the tree is killed and the groups are removed. */
  create(t: TestScope, limits?: ResolvedLimits, within?: CreateRequest['within']): Promise<Run>;
}

export type Run = Containment & { readonly tempDir: string };

/** The backends that can be used here; a skipped test tells the reason of each other one. */
export async function cgroupBenches(): Promise<readonly Bench[]> {
  const tempRoot = mkdtempSync(join(TEMP_PARENT, 'governor-test-'));
  const benches: Bench[] = [];
  for (const id of CGROUP_BACKENDS) {
    const instance = `test-${id}-${process.pid}`;
    const open = async (name = instance): Promise<Backend> =>
      (await selectBackend({ forced: id, instance: name, tempRoot })).backend;
    const backend = await open().catch((error: Error) => error.message);
    if (typeof backend === 'string') {
      t.test(id, { skip: backend }, () => undefined);
      continue;
    }
    const make: Bench['create'] = async (scope, limits, within) =>
      create(scope, backend, tempRoot, limits ?? NO_LIMITS, within);
    benches.push({ id, backend, reopen: () => open(), openElsewhere: () => open(`${instance}-other`), create: make });
  }
  t.teardown(async () => {
    for (const { backend } of benches) await backend.close();
    rmSync(tempRoot, { recursive: true, force: true });
  });
  return benches;
}

let serial = 0;

async function create(
  scope: TestScope,
  backend: Backend,
  tempRoot: string,
  limits: ResolvedLimits,
  within?: CreateRequest['within'],
): Promise<Run> {
  serial += 1;
  const runId = `t${String(process.pid).padStart(6, '0').slice(-6)}${String(serial).padStart(3, '0')}`;
  const tempDir = mkdtempSync(join(tempRoot, 'run-'));
  const containment = await backend.create({
    runId,
    tool: 'test tool',
    limits,
    tempDir,
    ...(within === undefined ? {} : { within }),
  });
  scope.teardown(async () => {
    await endAll(containment);
    containment.close();
  });
  return Object.defineProperty(containment, 'tempDir', { value: tempDir }) as Run;
}

/** Kills until the containment itself says that nobody is left, then removes it. */
export async function endAll(containment: Containment): Promise<void> {
  await containment.killer.kill();
  await emptied(containment);
  await containment.remove(5000);
}

export async function emptied(containment: Containment): Promise<void> {
  await waitFor('the tree to be empty', () => containment.membership.members().length === 0, { everyMs: 2 });
}

/** Limits with the default stages, so the kernel's caps are at 150 % of each number. */
export function limitsOf(numbers: Readonly<Partial<Record<Resource, number>>>): ResolvedLimits {
  const limits: { -readonly [Key in Resource]: ResolvedLimits[Key] } = { ...NO_LIMITS };
  for (const [key, limit] of Object.entries(numbers)) {
    const resource = key as Resource;
    limits[resource] = {
      resource,
      limit,
      thresholds: DEFAULT_THRESHOLDS,
      actions: DEFAULT_ACTIONS[resource],
      source: { from: 'flag', detail: 'test' },
    };
  }
  return limits;
}
