import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestScope } from './fixture.ts';

/**
 * A directory that is removed at the end of the test, whatever permissions a tool left in it; t.testdir() cannot.
 * Its path is short enough for sockets and holds no link.
 */
export function temporaryDirectory(t: TestScope): string {
  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'governor-test-'));
  t.teardown(() => {
    // chmod -R follows no link below its argument.
    spawnSync('chmod', ['-R', 'u+rwX', directory]);
    const removed = spawnSync('rm', ['-rf', '--', directory], { encoding: 'utf8' });
    if (removed.status !== 0) throw new Error(`cannot remove ${directory}: ${removed.stderr}`);
  });
  return directory;
}
