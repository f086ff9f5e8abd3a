/** What a host may lack, each with the reason that tap prints for a skipped test. */

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';

const PROBES = {
  root: () => process.getuid?.() === 0 || 'needs root',
  linux: () => process.platform === 'linux' || 'needs Linux',
  cgroup1: () => writableController('memory') || 'needs a writable cgroup v1 memory controller',
  cgroup2: () => unifiedControllers().includes('memory') || 'needs cgroup v2 with the memory controller',
  'systemd-user': () =>
    (process.getuid?.() !== 0 && systemdRuns() && userBus()) ||
    'needs an ordinary user with a running systemd user manager',
  systemd: () => systemdRuns() || 'needs systemd as PID 1',
  'user-namespaces': () => runs('unshare', ['-Urpf', 'true']) || 'needs user and PID namespaces (unshare -Urpf)',
  'pid-namespaces': () => runs('unshare', ['-pf', '--kill-child', 'true']) || 'needs the right to make a PID namespace',
  gcc: () => ['cc', 'gcc', 'clang'].some((name) => runs(name, ['--version'])) || 'needs a C compiler (install gcc)',
  qemu: () => runs('qemu-system-x86_64', ['--version']) || 'needs qemu-system-x86_64 (install qemu-system-x86)',
  promtool: () => runs('promtool', ['--version']) || 'needs promtool (install prometheus)',
  prometheus: () => runs('prometheus', ['--version']) || 'needs prometheus (install prometheus)',
  ss: () => runs('ss', ['--version']) || 'needs ss (install iproute2)',
  redis: () => runs('redis-server', ['--version']) || 'needs redis-server (install redis-server)',
  setsid: () => runs('setsid', ['true']) || 'needs setsid (install util-linux)',
  setpriv: () => runs('setpriv', ['--version']) || 'needs setpriv (install util-linux)',
  mount: () => runs('unshare', ['-m', 'mount', '-t', 'tmpfs', 'governor-test', '/tmp']) || 'needs the right to mount',
  prlimit: () => runs('prlimit', ['--version']) || 'needs prlimit (install util-linux)',
} as const satisfies Readonly<Record<string, () => true | string>>;

export type Need = keyof typeof PROBES;

const answers = new Map<Need, true | string>();

/**
 * For `t.test(name, { skip: lacks('root', 'cgroup1') }, …)`.
 * @returns false when everything is there, else the first reason
 */
export function lacks(...needs: readonly Need[]): string | false {
  for (const need of needs) {
    const answer = answers.get(need) ?? PROBES[need]();
    answers.set(need, answer);
    if (answer !== true) return answer;
  }
  return false;
}

function runs(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

function writableController(controller: string): boolean {
  try {
    accessSync(`/sys/fs/cgroup/${controller}/cgroup.procs`, constants.W_OK);
    return existsSync(`/sys/fs/cgroup/${controller}/memory.limit_in_bytes`);
  } catch {
    // Not mounted, or not ours to write: either way there is none to use.
    return false;
  }
}

function unifiedControllers(): readonly string[] {
  const file = '/sys/fs/cgroup/cgroup.controllers';
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ') : [];
}

function systemdRuns(): boolean {
  return existsSync('/run/systemd/system');
}

function userBus(): boolean {
  const directory = process.env['XDG_RUNTIME_DIR'];
  return directory !== undefined && existsSync(`${directory}/bus`);
}
