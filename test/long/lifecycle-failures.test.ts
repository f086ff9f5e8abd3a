/** Tools that do not start, do not get ready, or do not stay up. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { register } from '../helpers/registered.ts';
import { lacks } from '../helpers/skip.ts';
import { survivors } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

t.test('failures', { skip: lacks('linux'), timeout: patience(110_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  await t.test('never ready', (t) => neverReady(t, daemon));
  await t.test('crash loop', (t) => crashLoop(t, daemon));
  await t.test('cannot be started', (t) => cannotStart(t, daemon));
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
});

async function neverReady(t: Test, daemon: RunningDaemon): Promise<void> {
  const { path, marker } = await register(t, daemon, 'never ready', 'mcp-echo', {
    args: ['--never-initialize', '--ignore-eof'],
    ready_timeout: '1s',
    recovery: { strategy: 'stop' },
  });
  const answer = await daemon.call('POST', `${path}/activate`);
  t.match(answer, { status: 500, json: { code: 'launch_failed', detail: /handshake/ } });
  t.same(survivors(marker), [], 'what did not become ready is not left behind');
  t.match((await daemon.call('GET', path)).json, {
    state: 'registered',
    lastEnd: { reason: 'not_ready', message: /did not become ready: .*handshake/ },
  });

  const fast = await register(t, daemon, 'ends at once', 'exit-fast', { recovery: { strategy: 'stop' } });
  const gone = await daemon.call('POST', `${fast.path}/activate`);
  t.match(gone, { status: 500, json: { code: 'launch_failed' } });
  t.match((await daemon.call('GET', fast.path)).json, { state: 'registered', lastEnd: { reason: 'not_ready' } });
}

/** Back-off, then the breaker; someone resets it. */
async function crashLoop(t: Test, daemon: RunningDaemon): Promise<void> {
  const { name, path } = await register(t, daemon, 'crash loop', 'exit-fast', {
    args: ['7'],
    readiness: 'none',
    recovery: { strategy: 'restart', budget: '2/10m' },
  });
  await daemon.call('POST', `${path}/activate`);
  const waiting = await waitFor('the back-off', async () => {
    const { json } = await daemon.call('GET', path);
    return json.state === 'recovering' && json;
  });
  t.match(waiting, {
    recovery: { strategy: 'restart', attempts: 1, nextAttemptAt: /^20/ },
    lastEnd: { reason: 'exited', exit: { code: 7 } },
  });
  await waitFor('the breaker', async () => (await daemon.call('GET', path)).json.state === 'failed', {
    timeoutMs: 20_000,
  });
  t.same(
    (await auditOf(daemon, name, 'recovery')).map(({ outcome }) => outcome as string),
    ['scheduled', 'failed', 'scheduled', 'failed', 'gave_up'],
  );
  t.equal((await daemon.call('GET', `${path}/runs`)).json.runs.length, 3, 'three runs: two more than the first');
  t.match(await daemon.call('POST', `${path}/activate`), { status: 409, json: { code: 'breaker_open' } });
  t.match((await daemon.cli(['ls'])).stdout, /crash loop +failed .*held back after repeated failures/);
  t.match((await daemon.call('GET', '/metrics')).text, /governor_tool_state\{tool="crash loop",state="failed"\} 1/);
  t.match(await daemon.call('POST', `${path}/cleanup`), {
    status: 200,
    json: { state: 'registered', recovery: { attempts: 0 } },
  });
  t.match((await auditOf(daemon, name, 'recovery')).at(-1), { outcome: 'reset' });
  t.equal((await daemon.call('POST', `${path}/activate`)).status, 200, 'it may be tried again');
  t.equal((await daemon.call('DELETE', path)).status, 204, 'and taken out while it is about to be tried again');
}

async function cannotStart(t: Test, daemon: RunningDaemon): Promise<void> {
  const plain = join(daemon.stateDir, 'plain');
  writeFileSync(plain, 'text');
  for (const [what, command, code] of [
    ['absent', 'no-such-command-here', 'command_not_found'],
    ['plain file', plain, 'command_not_executable'],
    ['folder', '/', 'command_not_executable'],
  ] as const) {
    const name = `cannot start: ${what}`;
    const path = `/v1/tools/${encodeURIComponent(name)}`;
    t.equal((await daemon.call('POST', '/v1/tools', { name, command, recovery: { strategy: 'stop' } })).status, 201);
    t.match(await daemon.call('POST', `${path}/activate`), { status: 422, json: { code } }, command);
    t.match((await daemon.call('GET', path)).json, { state: 'registered', runs: [] });
    t.equal((await daemon.call('DELETE', path)).status, 204);
  }
}
