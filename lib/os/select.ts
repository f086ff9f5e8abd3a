/** The only place that knows all backends: tries them in order of what they can promise, and reports what was found. */

import { release } from 'node:os';

import { GovernorError } from '../core/errors.ts';
import { err, ok, type Result } from '../core/result.ts';
import { type Backend, BACKEND_IDS, type BackendId, type BackendProbe, type HostReport } from './backend.ts';
import { openCgroup1 } from './cgroup1/backend.ts';
import { openCgroup2, openCgroup2Bare, type OpenedBackend } from './cgroup2/backend.ts';
import { isDenied } from './kernel-file.ts';
import { type CgroupMounts, readCgroupMounts } from './mounts.ts';
import { native } from './native.ts';
import { PidnsBackend, probePidns } from './pidns/backend.ts';
import { ProcfsBackend, probeProcfs } from './procfs/backend.ts';
import { bootId } from './procfs/stat.ts';
import { openCgroup2Scope } from './systemd-scope/backend.ts';
import { moverThroughSystemd, notDelegated } from './systemd-scope/delegation.ts';
import { tryRun } from './try-run.ts';

export interface SelectOptions {
  /** Take this one or fail. */
  readonly forced?: BackendId;
  /** Tells daemons of one host apart; becomes part of group and unit names: `[0-9A-Za-z_-]{1,32}`. */
  readonly instance: string;
  /** Where the temp dirs of runs will be; must exist. */
  readonly tempRoot: string;
  /** Also try the backends that come after the first usable one (`governor doctor`). */
  readonly probeAll?: boolean;
}

/** One backend that might be used here. */
export interface Candidate {
  readonly id: BackendId;
  readonly open: () => Promise<Result<OpenedBackend, string>>;
}

/** @throws GovernorError `unsupported` with every reason when none can be used, or not the one that was forced */
export async function selectBackend(
  options: SelectOptions,
): Promise<{ readonly backend: Backend; readonly report: HostReport }> {
  if (!/^[0-9A-Za-z_-]{1,32}$/.test(options.instance)) {
    throw new GovernorError(
      'invalid_request',
      `instance ${JSON.stringify(options.instance)}: use 1 to 32 letters, digits, _ and -`,
    );
  }
  const { backend, probes } = await choose(candidates(options), options);
  return { backend, report: reportOn(backend, probes) };
}

/**
 * Order: can the kernel prove that a tree is gone, then what it enforces by itself. A scope for each run costs more than a
 * v1 group, so it comes later. A bare v2 group is as exact as a PID namespace and leaves the process as it is, so it comes before.
 */
export const ORDER: readonly BackendId[] = [
  'cgroup2',
  'cgroup1',
  'cgroup2-scope',
  'cgroup2-bare',
  'pidns',
  'procfs',
  'portable',
];

/** Opens the first usable candidate, or the forced one. The others that were opened are closed again. */
export async function choose(
  candidates: readonly Candidate[],
  options: { readonly forced?: BackendId; readonly probeAll?: boolean },
): Promise<{ readonly backend: Backend; readonly probes: readonly BackendProbe[] }> {
  const { forced, probeAll = false } = options;
  const probes: BackendProbe[] = [];
  let chosen: Backend | null = null;
  for (const { id, open } of candidates) {
    const taken = chosen !== null;
    if (!probeAll && (taken || (forced !== undefined && id !== forced))) continue;
    const opened = await open();
    probes.push({ backend: id, usable: opened.ok, reason: opened.ok ? opened.value.detail : opened.error });
    if (!opened.ok) continue;
    if (!taken && (forced === undefined || id === forced)) chosen = opened.value.backend;
    else await opened.value.backend.close();
  }
  if (chosen !== null) return { backend: chosen, probes };
  throw new GovernorError('unsupported', refusal(forced, probes), { data: { probes } });
}

function refusal(forced: BackendId | undefined, probes: readonly BackendProbe[]): string {
  if (forced === undefined) {
    return `no way to contain processes on this host: ${probes.map(({ backend, reason }) => `${backend}: ${reason}`).join('; ')}`;
  }
  const probe = probes.find(({ backend }) => backend === forced);
  return `backend ${forced} cannot be used: ${probe?.reason ?? `it is none of ${BACKEND_IDS.join(', ')}`}`;
}

function candidates(options: SelectOptions): readonly Candidate[] {
  const uid = process.getuid?.() ?? -1;
  const mounts = mountsOrNone();
  const objection = (directory: string): Promise<string | null> => notDelegated(directory, process.env);
  const group = {
    mounts,
    instance: options.instance,
    asRoot: uid === 0,
    objection,
    mover: moverThroughSystemd(process.env, uid),
  };
  const openers: Readonly<Record<BackendId, () => Promise<Result<OpenedBackend, string>>>> = {
    cgroup2: async () => proven(await openCgroup2(group), options.tempRoot),
    cgroup1: async () => proven(await openCgroup1(mounts, options.instance), options.tempRoot),
    'cgroup2-scope': async () =>
      proven(await openCgroup2Scope({ ...group, environment: process.env, uid }), options.tempRoot),
    'cgroup2-bare': async () => proven(await openCgroup2Bare(group), options.tempRoot),
    pidns: async () => openPidns(),
    procfs: async () => afterProbe(await probeProcfs(), () => new ProcfsBackend()),
    portable: openPortable,
  };
  return ORDER.map((id) => ({ id, open: openers[id] }));
}

async function openPidns(): Promise<Result<OpenedBackend, string>> {
  const { unshare, reason } = await probePidns();
  return unshare === null ? err(reason) : ok({ backend: new PidnsBackend(unshare), detail: reason });
}

/** Loaded only where it comes to that: not on Linux, unless it is forced. */
async function openPortable(): Promise<Result<OpenedBackend, string>> {
  const { PortableBackend, probePortable } = await import('./portable/backend.ts');
  return afterProbe(await probePortable(), () => new PortableBackend());
}

function afterProbe({ usable, reason }: BackendProbe, make: () => Backend): Result<OpenedBackend, string> {
  return usable ? ok({ backend: make(), detail: reason }) : err(reason);
}

/** A backend that could be opened counts only when a real process went through it. */
async function proven(opened: Result<OpenedBackend, string>, tempDir: string): Promise<Result<OpenedBackend, string>> {
  if (!opened.ok) return opened;
  const tried = await tryRun(opened.value.backend, tempDir);
  if (tried.ok) return ok(opened.value);
  await opened.value.backend.close();
  return err(tried.error);
}

const NO_MOUNTS: CgroupMounts = { unified: null, byController: new Map() };

function mountsOrNone(): CgroupMounts {
  if (process.platform !== 'linux') return NO_MOUNTS;
  try {
    return readCgroupMounts();
  } catch (error) {
    // A sandbox may hide /proc/self/mountinfo.
    if (isDenied(error) || (error as NodeJS.ErrnoException).code === 'ENOENT') return NO_MOUNTS;
    throw error;
  }
}

function reportOn(backend: Backend, probes: readonly BackendProbe[]): HostReport {
  const calls = native();
  return {
    backend: backend.id,
    probes,
    capabilities: backend.capabilities,
    kernel: release(),
    totals: null,
    shared:
      backend.shared === undefined
        ? { enforcement: 'polled', detail: 'the daemon sums up what runs use, and stops one at a time' }
        : { enforcement: 'kernel', detail: 'a group around those of the runs: memory, cpu and tasks of all together' },
    bootId: process.platform === 'linux' ? bootId() : 'unknown',
    native: { available: calls.available, detail: calls.available ? 'koffi: prlimit, pidfd' : calls.reason },
  };
}
