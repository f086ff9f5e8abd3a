/** `governor connect` with a real daemon. */

import { join } from 'node:path';
import t from 'tap';
import { callUnix, cleanEnvironment, LAUNCHER, newStateDir, runCommand } from '../helpers/daemon.ts';

t.test('a daemon is started when there is none, and nothing but MCP is ever on stdout', async (t) => {
  const stateDir = newStateDir(t);
  const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' };
  t.teardown(async () => void (await runCommand(LAUNCHER, ['daemon', 'stop', '--all'], { env })));
  const first = await runCommand(LAUNCHER, ['connect', 'nobody'], { env });
  t.not(first.code, 0);
  t.equal(first.stdout, '');
  t.match(first.stderr, /^governor: .*nobody.*\n$/);
  t.equal((await callUnix(join(stateDir, 'governor.sock'), 'GET', '/readyz')).status, 200, 'the daemon is up');
});
