/** Which ways to contain processes this host has, by the daemon's own probes. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, LAUNCHER, runCommand } from './daemon.ts';

export interface UsableBackend {
  readonly id: string;
  readonly usable: boolean;
  readonly reason: string;
}

/**
 * GOVERNOR_TEST_BACKENDS=cgroup2,cgroup2-scope holds the suites to these backends, where the others were looked at elsewhere.
 * @returns false, or the reason to skip
 */
export function notAskedFor(backend: string): string | false {
  const asked = process.env['GOVERNOR_TEST_BACKENDS']?.split(',') ?? [];
  return asked.length === 0 || asked.includes(backend) ? false : `not in GOVERNOR_TEST_BACKENDS=${asked.join(',')}`;
}

/** Every backend of Linux; `portable` is for other systems and promises less. */
export async function linuxBackends(): Promise<readonly UsableBackend[]> {
  const stateDir = mkdtempSync(join(tmpdir(), 'gov-probe-'));
  try {
    const { stdout, stderr } = await runCommand(LAUNCHER, ['doctor', '--json'], {
      env: { ...cleanEnvironment(), GOVERNOR_STATE_DIR: stateDir },
    });
    const { probes } = JSON.parse(stdout) as {
      readonly probes: readonly { backend: string; usable: boolean; reason: string }[];
    };
    if (probes.length === 0) throw new Error(stderr);
    return probes
      .filter(({ backend }) => backend !== 'portable')
      .map(({ backend, usable, reason }) => {
        const skip = notAskedFor(backend);
        return { id: backend, usable: usable && skip === false, reason: skip === false ? reason : skip };
      });
  } finally {
    rmSync(stateDir, { recursive: true, force: true });
  }
}
