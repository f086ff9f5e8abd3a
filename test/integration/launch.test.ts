/** `governor run`: nothing of the tool's start may differ from a plain one, but what is promised. */

import { spawn } from 'node:child_process';
import { chmodSync, closeSync, copyFileSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cleanEnvironment, LAUNCHER, runCommand, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, newMarker, fixtureEnvironment } from '../helpers/fixture.ts';
import { survivorsAfter } from '../helpers/survivors.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { waitFor } from '../helpers/wait-for.ts';

/** Each start has pipes and sockets of its own. */
const withoutInodes = (value: unknown): string => JSON.stringify(value).replaceAll(/(socket|pipe):\[\d+\]/g, '$1');

const ADDED = ['GOVERNOR_RUN', 'GOVERNOR_SOCKET', 'GOVERNOR_TOOL', 'MEMORY_PRESSURE_WATCH', 'TMPDIR'];

t.test('arguments, environment, descriptors, signals and session are those of a plain start', async (t) => {
  const daemon = await startDaemon(t);
  const report = fixtureCommand('report-start', [
    'a b',
    '',
    "it's",
    '"q"',
    '--',
    '-n',
    'ünï',
    'two\nlines',
    '*',
    '$HOME',
  ]);
  const env = {
    ...daemon.env,
    'odd.name': 'kept',
    'BASH_FUNC_f%%': '() {  echo "x\n y"\n}',
    VALUE: 'mine',
    line: 'mine',
    fd: '7',
    EMPTY: '',
    PWD: process.cwd(),
  };
  const extra = openSync('/dev/null', 'r');
  const start = (command: string, args: readonly string[]): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      // Descriptor 5 is passed on beside stdio, 3 and 4 are not open.
      const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit', 'ignore', 'ignore', extra] });
      let text = '';
      child.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part));
      child.once('error', reject);
      child.once('close', () => resolve(JSON.parse(text) as Record<string, unknown>));
    });
  const [command, ...args] = report;
  const plain = await start(command, args);
  const governed = await start(LAUNCHER, ['run', '--name', 'report', '--', ...report]);
  closeSync(extra);
  const environmentOf = (document: Record<string, unknown>): string[] => (document['env'] as string[]).toSorted();
  const isAdded = (entry: string): boolean => ADDED.some((name) => entry.startsWith(`${name}=`));
  t.same(
    environmentOf(governed)
      .filter(isAdded)
      .map((entry) => entry.split('=', 1)[0]),
    ADDED,
    'what is promised is there',
  );
  t.same(
    environmentOf(governed).filter((entry) => !isAdded(entry)),
    environmentOf(plain),
    'every other variable, the odd ones too, is as it was',
  );
  for (const key of Object.keys(plain).filter(
    (name) => !['env', 'pid', 'rlimits', 'startTime', 'cgroup'].includes(name),
  )) {
    t.same(withoutInodes(governed[key]), withoutInodes(plain[key]), key);
  }
});

t.test('stdio passes byte for byte, and the exit code with it', async (t) => {
  const daemon = await startDaemon(t);
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 256));
  const child = spawn(LAUNCHER, ['run', '--', 'sh', '-c', 'cat; echo to stderr >&2; exit 42'], {
    env: daemon.env,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const parts: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end(bytes);
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.equal(code, 42);
  t.ok(Buffer.concat(parts).equals(bytes), 'what went in came out');
  t.equal(stderr, 'to stderr\n');
});

t.test('a death by signal looks as it would without Governor', async (t) => {
  const daemon = await startDaemon(t);
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGUSR1', 'SIGHUP'] as const) {
    const outcome = await daemon.cli(['run', '--', 'sh', '-c', `kill -${signal.slice(3)} $$`]);
    t.match(outcome, { code: null, signal }, signal);
  }
});

t.test('what cannot run is refused with one line and the code of the contract', async (t) => {
  // A shell has more than that open for a moment, which is not what is looked at.
  const few = { command: 'sh', autostart: false, readiness: 'none', limits: { file_handles: 6 } };
  const actions = { file_handles: { throttled: [], cleanup: [], emergency: [] } };
  const daemon = await startDaemon(t, { config: { tools: { few: { ...few, actions } } } });
  const folder = join(daemon.stateDir, 'x');
  mkdirSync(folder);
  writeFileSync(join(folder, 'plain'), 'text');
  writeFileSync(join(folder, 'script'), 'exit 9\n');
  chmodSync(join(folder, 'script'), 0o755);
  const cases: readonly [readonly string[], number, RegExp][] = [
    [['run', '--', 'no-such-command-here'], 127, /^governor: no-such-command-here: command not found\n$/],
    [['run', '--', join(folder, 'absent')], 127, /^governor: .*absent: command not found\n$/],
    [['run', '--', join(folder, 'plain')], 126, /^governor: cannot run .*plain: permission denied\n$/],
    [['run', '--', folder], 126, /^governor: cannot run .*: is a directory\n$/],
    [['run', '--', ''], 125, /^governor: there is no command to run/],
    [['run'], 125, /^governor: there is no command to run/],
    [['run', '--memory', '256M', '--', 'true'], 125, /^governor: --memory: .*256MiB or 256MB/],
    [['run', '--memroy', '1GiB', '--', 'true'], 125, /^governor: --memroy: .*did you mean --memory/],
    [['run', '--tasks', '0', '--', 'true'], 125, /^governor: --tasks: /],
    [['run', '--name', 'a/b', '--', 'true'], 125, /^governor: --name: /],
    [['run', '--name', 'x'.repeat(65), '--', 'true'], 125, /^governor: --name: /],
    [['run', '--class', 'huge', '--', 'true'], 125, /^governor: .*class/],
  ];
  for (const [args, code, line] of cases) {
    const outcome = await daemon.cli(args);
    t.equal(outcome.code, code, args.join(' '));
    t.match(outcome.stderr, line, args.join(' '));
    t.equal(outcome.stderr.trimEnd().split('\n').length, 1, 'one line');
    t.equal(outcome.stdout, '');
  }
  t.equal(
    (await daemon.cli(['run', '--', join(folder, 'script')])).code,
    9,
    'a script without #! runs as it does from a shell',
  );
  t.match(
    await daemon.cli(['run', '--name=few', '--', 'sh', '-c', 'ulimit -Hn; exit 9']),
    { code: 9, stdout: '32\n', stderr: '' },
    'a limit of fewer open files than a shell needs to become the tool',
  );
  await waitFor('nothing of it to be left', async () => {
    const { tools } = (await daemon.call('GET', '/v1/tools')).json;
    return tools.length === 1 && tools[0].name === 'few' && tools[0].runs.length === 0;
  });
});

t.test('names with spaces, quotes and UTF-8 are kept as they are', async (t) => {
  const daemon = await startDaemon(t);
  for (const name of ['my tool', `it's "quoted"`.replace(/"/g, "'"), 'wérkzeug (1)', 'a+b@c:d']) {
    const marker = newMarker();
    const child = spawn(LAUNCHER, ['run', '--name', name, '--', ...fixtureCommand('idle')], {
      env: { ...daemon.env, ...fixtureEnvironment(marker) },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const tool = await waitFor(name, async () => {
      const answer = await daemon.call('GET', `/v1/tools/${encodeURIComponent(name)}`);
      return answer.status === 200 && answer.json.state === 'active' ? answer.json : null;
    });
    t.equal(tool.name, name);
    t.equal((await daemon.cli(['stop', name])).code, 0);
    await new Promise((resolve) =>
      child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(null),
    );
    t.same(await survivorsAfter(marker, 2000), []);
  }
});

t.test('the daemon starts by itself; of ten starts at once one wins and ten tools run', async (t) => {
  const stateDir = join('/tmp', `gov-auto-${process.pid}`);
  mkdirSync(stateDir);
  const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: stateDir, GOVERNOR_LISTEN: '127.0.0.1:0' };
  t.teardown(async () => {
    await runCommand(LAUNCHER, ['daemon', 'stop', '--all'], { env });
    await runCommand('rm', ['-rf', stateDir]);
  });
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      runCommand(LAUNCHER, ['run', '--', 'sh', '-c', `echo ${index}; exit ${index}`], { env }),
    ),
  );
  t.same(
    outcomes.map(({ code }) => code),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  t.same(
    outcomes.map(({ stdout }) => stdout.trim()),
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  );
});

t.test("with --json what Governor refuses is one document on stderr, and stdout is the tool's", async (t) => {
  const daemon = await startDaemon(t);
  const run = (...words: readonly string[]) => runCommand(LAUNCHER, ['run', ...words], { env: daemon.env });
  const directory = temporaryDirectory(t);
  const bad = join(directory, 'bad');
  writeFileSync(bad, '#!/no/such/interpreter\n', { mode: 0o755 });
  const cases: readonly (readonly [words: readonly string[], exit: number, code: string, detail: RegExp])[] = [
    [['--json', '--memory', '5M', '--', 'true'], 125, 'invalid_request', /--memory: "5M" could mean two sizes/],
    [['--name', 'a/b', '--json', 'true'], 125, 'invalid_request', /"\/" at character 2/],
    [['--json', 'governor-test-nothing'], 127, 'command_not_found', /command not found/],
    [['--json', bad], 127, 'command_not_found', /bad: its interpreter \/no\/such\/interpreter is missing/],
  ];
  for (const [words, exit, code, detail] of cases) {
    const { code: ended, stdout, stderr } = await run(...words);
    t.match({ ended, stdout }, { ended: exit, stdout: /^$/ }, words.join(' '));
    t.match(JSON.parse(stderr), { code, detail, type: `/docs/errors#${code}`, title: String, status: Number });
  }
  t.match(await run('--json', '--', 'sh', '-c', 'echo {}; exit 3'), { code: 3, stdout: '{}\n', stderr: /^$/ });
  t.match(await run(bad), { code: 127, stderr: `governor: ${bad}: its interpreter /no/such/interpreter is missing\n` });
  // What the launcher finds itself, and what a daemon says that does not start.
  const nowhere = await runCommand(LAUNCHER, ['run', '--json', 'true'], {
    env: { PATH: process.env['PATH'] },
  });
  t.match(
    [nowhere.code, JSON.parse(nowhere.stderr)],
    [125, { code: 'state_dir', detail: /set HOME or give --state-dir/ }],
  );
  const config = join(directory, 'limits.yaml');
  writeFileSync(config, 'version: 2\n');
  const unstarted = await runCommand(
    LAUNCHER,
    ['run', '--json', '--state-dir', join(directory, 'state'), '--config', config, 'true'],
    { env: daemon.env },
  );
  t.match(
    [unstarted.code, JSON.parse(unstarted.stderr)],
    [125, { code: 'daemon_unreachable', detail: /version: 2 is not known/ }],
  );
});

t.test('a clone that was never started says how to', async (t) => {
  const clone = temporaryDirectory(t);
  mkdirSync(join(clone, 'daemon/bin'), { recursive: true });
  const launcher = join(clone, 'daemon/bin/governor');
  copyFileSync(LAUNCHER, launcher);
  const env = { ...cleanEnvironment(), GOVERNOR_STATE_DIR: join(clone, 'state') };
  const message = `governor: not built yet: run 'npm start' once in ${clone}/daemon/bin/../..\n`;
  for (const words of [['ls'], ['run', 'true'], ['run', '--json', 'true']])
    t.match(await runCommand(launcher, words, { env }), { code: 125, stdout: '', stderr: message }, words.join(' '));
});
