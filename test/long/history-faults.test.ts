/** History of a real daemon whose file is cut off, of another version, or locked; and none at all. The disk: unit/observe/history/rescue. */

import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import Libsql from 'libsql';
import t from 'tap';
import { newStateDir, startDaemon } from '../helpers/daemon.ts';
import type { RunningDaemon } from '../helpers/daemon.ts';
import { fixtureCommand } from '../helpers/fixture.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { waitFor } from '../helpers/wait-for.ts';

const FAST = { sample_interval: '200ms' } as const;
const IDLE = { idle: { ...commandOf('idle'), readiness: 'none', autostart: true } };

function commandOf(name: string): { readonly command: string; readonly args: readonly string[] } {
  const [command, ...args] = fixtureCommand(name);
  return { command, args };
}

/** Seconds in which something was measured. */
async function measured(daemon: RunningDaemon): Promise<number> {
  const answer = await daemon.call('GET', '/v1/tools/idle/history?from=10m&step=1s');
  return answer.status === 200
    ? (answer.json as { readonly runs: readonly number[] }).runs.filter((runs) => runs > 0).length
    : 0;
}

const untilMeasured = (daemon: RunningDaemon, seconds: number): Promise<unknown> =>
  waitFor(`${seconds} seconds of history`, async () => (await measured(daemon)) >= seconds);

function start(t: TestScope, stateDir: string, history: unknown = {}): Promise<RunningDaemon> {
  return startDaemon(t, { stateDir, config: { daemon: { ...FAST, history }, tools: IDLE } });
}

const aside = (stateDir: string): readonly string[] =>
  readdirSync(stateDir).filter((name) => /^history\.db\.[a-z]/.test(name) && !/-(wal|shm|journal)$/.test(name));

t.test('a file that cannot be used is set aside, and its name told', async (t) => {
  const stateDir = newStateDir(t);
  const first = await start(t, stateDir);
  await untilMeasured(first, 3);
  await first.stop();
  const path = join(stateDir, 'history.db');
  truncateSync(path, Math.floor(statSync(path).size / 2));
  const second = await start(t, stateDir);
  await untilMeasured(second, 1);
  const [cut = ''] = aside(stateDir);
  t.match(cut, /^history\.db\.corrupt-/);
  t.match(second.output(), cut, 'the log has its name');
  await second.stop();

  const file = new Libsql(path);
  file.exec('PRAGMA user_version = 9');
  file.close();
  const before = readFileSync(path);
  const third = await start(t, stateDir);
  await untilMeasured(third, 1);
  const newer = aside(stateDir).find((name) => name.includes('newer-v9')) ?? '';
  t.ok(before.equals(readFileSync(join(stateDir, newer))), 'untouched');
  t.match(third.output(), newer);
});

t.test('locked by another program: the daemon runs, says so once, and goes on when it may', async (t) => {
  const stateDir = newStateDir(t);
  const first = await start(t, stateDir);
  await untilMeasured(first, 2);
  await first.stop();
  const other = new Libsql(join(stateDir, 'history.db'));
  other.exec('BEGIN EXCLUSIVE; CREATE TABLE held (x)');
  const second = await start(t, stateDir);
  const state = async (): Promise<unknown> =>
    ((await second.call('GET', '/v1/host')).json as { history: unknown }).history;
  await waitFor('the history to be paused', async () => ((await state()) as { state: string }).state === 'paused');
  t.match(await state(), { state: 'paused', reason: /locked/ });
  t.match((await second.call('GET', '/metrics')).text, /governor_history_paused 1\n/);
  t.match((await second.call('GET', '/v1/tools/idle/history')).json, { code: 'no_history', status: 409 });
  t.match((await second.call('GET', '/v1/tools/idle')).json, { state: 'active' }, 'the tool is supervised');
  other.exec('ROLLBACK');
  other.close();
  await waitFor('the history to go on', async () => ((await state()) as { state: string }).state === 'on', {
    timeoutMs: 90_000,
  });
  t.equal(second.output().split('the history is paused').length - 1, 1, 'said once');
  await untilMeasured(second, 3);
});

t.test('off', async (t) => {
  const stateDir = newStateDir(t);
  const daemon = await start(t, stateDir, 'off');
  const answer = await daemon.call('GET', '/v1/tools/idle/history');
  t.match([answer.status, answer.json], [409, { code: 'no_history' }]);
  t.match((await daemon.call('GET', '/v1/host')).json, { history: { state: 'off' } });
  t.notMatch((await daemon.call('GET', '/metrics')).text, 'governor_history');
  t.notOk(readdirSync(stateDir).includes('history.db'));
});
