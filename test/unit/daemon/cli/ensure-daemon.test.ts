import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { daemonEnvironment } from '../../../../daemon/cli/commands/ensure-daemon.ts';
import { LAUNCHER, runCommand } from '../../../helpers/daemon.ts';
import { governor, temporaryFolder, type Outcome } from './harness.ts';

/** Stands for the daemon: notes that it was started and how, locks by its socket, is ready at the third request. */
const DAEMON = `
import { appendFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
const folder = process.argv[process.argv.indexOf('--state-dir') + 1];
appendFileSync(folder + '/starts', JSON.stringify({ pid: process.pid, words: process.argv.slice(2), cwd: process.cwd(), env: Object.keys(process.env) }) + '\\n');
let asked = 0;
const server = createServer((request, response) => {
  asked += 1;
  response.writeHead(asked < 3 ? 503 : 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ ready: asked >= 3, detail: '' }));
});
server.on('error', (error) => { console.error('another daemon uses this: ' + error.code); process.exit(1); });
server.listen(folder + '/governor.sock', () => writeFileSync(folder + '/daemon.pid', process.pid + ' 0\\n'));
`;

const BROKEN = `console.error('first'); console.error('limits.yaml:3:5: there is something wrong'); process.exit(1);`;

interface Start {
  readonly pid: number;
  readonly words: readonly string[];
  readonly cwd: string;
  readonly env: readonly string[];
}

interface Place {
  readonly folder: string;
  starts(): readonly Start[];
  ensure(words?: readonly string[], env?: Record<string, string>): Promise<Outcome>;
}

function place(t: { teardown(action: () => void): void }, program: string): Place {
  const folder = temporaryFolder(t);
  const entry = join(folder, 'daemon.mjs');
  writeFileSync(entry, program);
  const starts = (): readonly Start[] =>
    existsSync(join(folder, 'starts'))
      ? readFileSync(join(folder, 'starts'), 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as Start)
      : [];
  t.teardown(() => {
    for (const { pid } of starts()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        // ESRCH: it has ended by itself.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  });
  return {
    folder,
    starts,
    ensure: (words = [], env = {}) =>
      governor(['ensure-daemon', '--state-dir', folder, ...words], {
        entry,
        env: { PATH: process.env['PATH'] ?? '', ...env },
      }),
  };
}

const QUIET = { code: 0, out: /^$/, err: /^$/ };

t.test('ten start at once: one daemon, and all find it', async (t) => {
  const { folder, starts, ensure } = place(t, DAEMON);
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => ensure()));
  for (const outcome of outcomes) t.match(outcome, QUIET);
  t.equal(starts().length, 1);
  t.notOk(existsSync(join(folder, 'daemon.start')), 'the start file is gone');
  t.match(await ensure(), QUIET);
  t.equal(starts().length, 1, 'it is not started again');
});

t.test('how the daemon is started', async (t) => {
  const { folder, starts, ensure } = place(t, DAEMON);
  t.match(
    await ensure(['--config', 'limits.yaml', '--listen', '127.0.0.1:0'], {
      API_KEY: 'secret',
      GOVERNOR_RUN: 'abc',
      TMPDIR: '/tmp/x',
    }),
    QUIET,
  );
  const [start] = starts();
  t.same(start?.words, [
    'daemon',
    '--background',
    '--config',
    join(process.cwd(), 'limits.yaml'),
    '--state-dir',
    folder,
    '--listen',
    '127.0.0.1:0',
  ]);
  t.equal(start?.cwd, folder);
  t.ok(start?.env.includes('API_KEY'), 'a configuration may ask for it');
  t.notOk(start?.env.includes('GOVERNOR_RUN') || start?.env.includes('TMPDIR'));
});

t.test('the environment of a daemon that a client brought up', async (t) => {
  const env = {
    PATH: '/bin',
    HOME: '/h',
    LC_ALL: 'C',
    XDG_RUNTIME_DIR: '/r',
    TMPDIR: '/tmp',
    GOVERNOR_LIMIT_MEMORY: '1GiB',
    GOVERNOR_SOCKET: '/s',
    GITHUB_TOKEN: 'secret',
  };
  t.same(Object.keys(daemonEnvironment(env, { configPath: null })), [
    'PATH',
    'HOME',
    'LC_ALL',
    'XDG_RUNTIME_DIR',
    'TMPDIR',
    'GOVERNOR_LIMIT_MEMORY',
  ]);
  t.same(
    Object.keys(daemonEnvironment({ ...env, GOVERNOR_RUN: 'x', MEMORY_PRESSURE_WATCH: '/p' }, { configPath: '/c' })),
    ['PATH', 'HOME', 'LC_ALL', 'XDG_RUNTIME_DIR', 'GOVERNOR_LIMIT_MEMORY', 'GITHUB_TOKEN'],
  );
});

t.test('a daemon that does not start says why', async (t) => {
  const { folder, ensure } = place(t, BROKEN);
  const { code, out, err } = await ensure();
  t.match({ code, out }, { code: 1, out: /^$/ });
  t.equal(err, `governor: the daemon for ${folder} did not start: first · limits.yaml:3:5: there is something wrong\n`);
  t.notOk(existsSync(join(folder, 'daemon.start')));
  t.match(readFileSync(join(folder, 'daemon.log'), 'utf8'), /something wrong/, 'its output is kept');
});

t.test('a start that a crash left behind delays nobody', async (t) => {
  const { folder, starts, ensure } = place(t, DAEMON);
  writeFileSync(join(folder, 'daemon.start'), '4194305\n');
  t.match(await ensure(), QUIET, 'its process is gone');
  t.equal(starts().length, 1);
  const other = place(t, DAEMON);
  writeFileSync(join(other.folder, 'daemon.start'), `${process.pid}\n`);
  utimesSync(join(other.folder, 'daemon.start'), 1, 1);
  t.match(await other.ensure(), QUIET, 'it is older than a start can be');
});

t.test('a daemon that was started by hand at the same time is waited for', async (t) => {
  const { folder, ensure, starts } = place(t, BROKEN);
  writeFileSync(join(folder, 'daemon.pid'), `${process.pid} 0\n`);
  const waiting = ensure();
  const byHand = place(t, DAEMON);
  while (!existsSync(join(folder, 'daemon.log'))) await new Promise((resolve) => setImmediate(resolve));
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [join(byHand.folder, 'daemon.mjs'), '--state-dir', folder], {
    stdio: 'ignore',
  });
  t.match(await waiting, QUIET);
  t.match(starts(), [{ pid: child.pid ?? -1 }]);
});

t.test('a state directory that cannot be made', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  t.match(await governor(['ensure-daemon', '--state-dir', join(folder, 'file', 'state')]), {
    code: 1,
    out: /^$/,
    err: /^governor: cannot make the state directory .*file\/state: ENOTDIR/,
  });
});

t.test('how long a start is waited for', async (t) => {
  const { folder, starts, ensure } = place(t, DAEMON);
  // Of a start that another process is busy with: the launcher and the command wait as long as they are told.
  const uptimeSeconds = Math.floor(uptime());
  writeFileSync(join(folder, 'daemon.start'), `${process.pid} ${uptimeSeconds}\n`);
  t.match(await ensure([], { GOVERNOR_START_TIMEOUT_SECONDS: '1' }), {
    code: 1,
    err: new RegExp(`^governor: the daemon for ${folder} is not ready after 1 s; see ${folder}/daemon.log\\n$`),
  });
  t.match(await launch(folder, '1'), {
    code: 125,
    err: `governor: the daemon for ${folder} is not ready after 1 s; see ${folder}/daemon.log\n`,
  });
  t.equal(starts().length, 0);
  for (const wrong of ['0', '-1', '1.5', '10s', '10000', '060', 'x'])
    for (const { err } of [await ensure([], { GOVERNOR_START_TIMEOUT_SECONDS: wrong }), await launch(folder, wrong)])
      t.equal(err, `governor: GOVERNOR_START_TIMEOUT_SECONDS=${wrong}: write whole seconds, 1 to 9999, like 60\n`);
});

/** `governor run` as the shell runs it. */
async function launch(stateDir: string, seconds: string): Promise<Pick<Outcome, 'code' | 'err'>> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    GOVERNOR_STATE_DIR: stateDir,
    GOVERNOR_START_TIMEOUT_SECONDS: seconds,
  };
  const { code, stderr } = await runCommand(LAUNCHER, ['run', '--', 'true'], { env });
  return { code: code ?? -1, err: stderr };
}
