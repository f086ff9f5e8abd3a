/** `governor run` where no daemon runs yet: one of many starts it, and whatever lies in the way is dealt with or said. */

import { existsSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cleanEnvironment, LAUNCHER, newStateDir, type Outcome, runCommand } from '../helpers/daemon.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { waitFor } from '../helpers/wait-for.ts';

/** A process that no Linux has: above the largest pid_max. */
const NO_PID = 4_194_305;

interface Place {
  /** Not made yet. */
  readonly stateDir: string;
  readonly startFile: string;
  /** How often Node was started to bring up a daemon. */
  started(): number;
  run(words: readonly string[]): Promise<Outcome>;
  stop(): Promise<Outcome>;
}

/** With a `node` in front of PATH that notes what it is started for. */
function place(t: TestScope, configuration = 'version: 1\n'): Place {
  const folder = newStateDir(t);
  const stateDir = join(folder, 'below/state');
  const log = join(folder, 'started');
  const config = join(folder, 'limits.yaml');
  mkdirSync(join(folder, 'bin'));
  writeFileSync(config, configuration);
  writeFileSync(
    join(folder, 'bin/node'),
    `#!/bin/sh\n[ "$2" != ensure-daemon ] || echo "$2" >>${log}\nexec ${process.execPath} "$@"\n`,
    { mode: 0o755 },
  );
  const base = cleanEnvironment();
  const env = {
    ...base,
    PATH: `${join(folder, 'bin')}:${base['PATH'] ?? ''}`,
    GOVERNOR_STATE_DIR: stateDir,
    GOVERNOR_CONFIG: config,
    GOVERNOR_LISTEN: '127.0.0.1:0',
  };
  const stop = (): Promise<Outcome> => runCommand(LAUNCHER, ['daemon', 'stop', '--all'], { env });
  t.teardown(async () => {
    if (existsSync(join(stateDir, 'daemon.pid'))) await stop();
  });
  return {
    stateDir,
    startFile: join(stateDir, 'daemon.start'),
    started: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').length : 0),
    run: (words) => runCommand(LAUNCHER, ['run', '--', ...words], { env }),
    stop,
  };
}

const LONG_AGO = new Date(Date.now() - 3_600_000);
const uptimeSeconds = (): number => Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0]));

t.test('of ten starts at once one starts the daemon and ten tools run', async (t) => {
  const { run, started, startFile, stateDir } = place(t);
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, (_, index) => run(['sh', '-c', `echo ${index}; exit ${index}`])),
  );
  t.same(
    outcomes.map(({ code, stdout, stderr }) => ({ code, stdout, stderr })),
    Array.from({ length: 10 }, (_, index) => ({ code: index, stdout: `${index}\n`, stderr: '' })),
  );
  t.equal(started(), 1, 'one Node for it');
  t.notOk(existsSync(startFile), 'the start file is gone');
  t.same(
    [stateDir, join(stateDir, '..')].map((path) => statSync(path).mode & 0o777),
    [0o700, 0o700],
    'the directories that were missing are private',
  );
});

t.test('a start that a crash left behind delays nobody', async (t) => {
  const { run, started, startFile, stateDir, stop } = place(t);
  mkdirSync(stateDir, { recursive: true });
  const cases: readonly [string, string][] = [
    ['its launcher is gone', `${NO_PID} ${uptimeSeconds()}\n`],
    ['of before the machine was started', `${process.pid} ${uptimeSeconds() + 3600}\n`],
    ['empty, as a crash may leave it', ''],
    ['no number', 'x 09\n'],
    ['of an earlier version', `${NO_PID}\n`],
    // A machine that was just started has no such past.
    ...(uptimeSeconds() > 70
      ? [['longer ago than a start may take', `${process.pid} 1\n`] satisfies [string, string]]
      : []),
  ];
  for (const [index, [name, text]] of cases.entries()) {
    writeFileSync(startFile, text);
    utimesSync(startFile, LONG_AGO, LONG_AGO);
    t.match(await run(['echo', 'started']), { code: 0, stdout: 'started\n', stderr: '' }, name);
    t.equal(started(), index + 1);
    t.notOk(existsSync(startFile));
    t.equal((await stop()).code, 0);
  }
});

t.test('whoever waits goes on when the other start is given up', async (t) => {
  const { run, started, startFile, stateDir } = place(t);
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(startFile, `${process.pid} ${uptimeSeconds()}\n`);
  let over = false;
  const waiting = run(['echo', 'started']).finally(() => (over = true));
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.notOk(over, 'it waits');
  t.equal(started(), 0, 'without a Node');
  rmSync(startFile);
  t.match(await waiting, { code: 0, stdout: 'started\n', stderr: '' });
  t.equal(started(), 1);
});

t.test('a daemon that does not start: each says why', async (t) => {
  const { run, startFile, stateDir } = place(t, 'version: 1\nnonsense: 1\n');
  const outcomes = await Promise.all(Array.from({ length: 3 }, () => run(['echo', 'started'])));
  for (const outcome of outcomes) {
    t.match(outcome, { code: 125, stdout: '' });
    t.match(
      outcome.stderr,
      new RegExp(`^governor: the daemon for ${stateDir} did not start: .*"nonsense" is not a known key`),
    );
  }
  t.notOk(existsSync(startFile));
});

t.test('a state directory that cannot be made or written', async (t) => {
  const { run, startFile, stateDir } = place(t);
  writeFileSync(join(stateDir, '../..', 'below'), '');
  t.match(await run(['true']), { code: 125, stderr: /^governor: cannot make the state directory .*ENOTDIR[^\n]*\n$/ });
  rmSync(join(stateDir, '../..', 'below'));
  t.notOk(existsSync(startFile));
  const long = place(t);
  const deep = { GOVERNOR_STATE_DIR: join(long.stateDir, 'x'.repeat(100)) };
  const refused = await runCommand(LAUNCHER, ['run', '--', 'true'], { env: { ...cleanEnvironment(), ...deep } });
  t.match(refused, { code: 125, stderr: /^governor: the socket path .* has \d+ bytes, the system allows 107/ });
  t.notOk(existsSync(long.stateDir), 'and nothing is made');
});

t.test('a launcher that is killed while it starts the daemon is not waited for', async (t) => {
  const { run, startFile, stateDir } = place(t);
  const first = run(['echo', 'never']);
  const launcher = await waitFor('the start file', () => Number.parseInt(readFileSync(startFile, 'utf8'), 10));
  process.kill(launcher, 'SIGKILL');
  t.match(await first, { code: null, signal: 'SIGKILL' });
  t.match(await run(['echo', 'started']), { code: 0, stdout: 'started\n', stderr: '' });
  await waitFor('the start file to be gone', () => !existsSync(startFile));
  t.ok(existsSync(join(stateDir, 'daemon.pid')));
});
