import t from 'tap';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { launchManaged, type ManagedLaunch, type ManagedProcess } from '../../../lib/process/managed-launch.ts';
import { fixtureEnvironment, newMarker } from '../../helpers/fixture.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { session } from '../../helpers/proc-look.ts';
import { lacks } from '../../helpers/skip.ts';
import { identityOf, isAlive, killSurvivors, survivorsAfter } from '../../helpers/survivors.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const marker = newMarker();
t.teardown(() => killSurvivors(marker));
const environment = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...fixtureEnvironment(marker) };

function launch(
  command: string,
  args: readonly string[] = [],
  more: Partial<ManagedLaunch> = {},
): Promise<ManagedProcess> {
  return launchManaged({ command, args, cwd: '/', environment, prefix: [], ...more });
}

/** Lets it go, and gathers what it says and how it ends. */
async function outcome(process: ManagedProcess, openFiles: number | null = null) {
  process.openGate(openFiles);
  const [stdout, stderr, exit] = await Promise.all([text(process.stdout), text(process.stderr), process.exited]);
  return { stdout, stderr, exit };
}

t.test('the gate holds the tool until it is opened', async (t) => {
  const directory = t.testdir({});
  const witness = join(directory, 'it ran');
  const process = await launch('touch', [witness]);
  const identity = identityOf(process.pid);
  t.match(readFileSync(`/proc/${process.pid}/cmdline`, 'utf8'), /governor-gate/, 'a shell that waits');
  t.equal(session(process.pid), process.pid, 'in a session of its own');
  t.notOk(existsSync(witness));
  t.same((await outcome(process)).exit, { code: 0 });
  t.ok(existsSync(witness));
  t.ok(identity !== null && !isAlive(identity));
});

t.test('the tool is the process that waited, with its words, folder and environment', async (t) => {
  const words = ['', ' two words ', 'quote " and \' and $HOME', 'line\nbreak', 'größe', '-n', '--'];
  const script = 'console.log(JSON.stringify([process.pid, process.argv.slice(1), process.cwd(), process.env]))';
  const process_ = await launch(process.execPath, ['-e', script, '--', ...words], {
    cwd: '/usr',
    environment: { ...environment, MULTI: 'a\nb', EMPTY: '' },
  });
  const { stdout, exit } = await outcome(process_);
  t.same(exit, { code: 0 });
  const [pid, argv, cwd, seen] = JSON.parse(stdout) as [number, string[], string, Record<string, string>];
  t.equal(pid, process_.pid);
  t.same(argv, words);
  t.equal(cwd, '/usr');
  t.match(seen, { ...environment, MULTI: 'a\nb', EMPTY: '' });
  // The shell adds these two by itself; the test runner, its own to every Node that a Node starts.
  const more = Object.keys(seen).filter((name) => !/^(PWD|OLDPWD|NODE_OPTIONS|_TAPJS_.*|MULTI|EMPTY)$/.test(name));
  t.same(more.sort(), Object.keys(environment).sort());
});

t.test('variables that a shell would drop arrive too', async (t) => {
  const odd = { ...environment, 'npm_config_@scope:registry': 'x', 'a.b': 'c=d', MULTI: 'a\nb' };
  const { stdout, exit, stderr } = await outcome(
    await launch(process.execPath, ['-e', 'console.log(JSON.stringify(process.env))'], { environment: odd }),
  );
  t.same([exit, stderr], [{ code: 0 }, '']);
  t.same(JSON.parse(stdout), odd);
  const missing = await outcome(await launch('governor-test-no-such-command', [], { environment: odd }));
  t.same(missing.exit, { code: 127 });
  const waiting = await launch('true', [], { environment: odd });
  t.notMatch(readFileSync(`/proc/${waiting.pid}/cmdline`, 'utf8'), /c=d/, 'never as words, which everyone can read');
  waiting.closeGate();
  t.same(await waiting.exited, { code: 125 });
});

t.test('words in front of the command', async (t) => {
  const { stdout } = await outcome(
    await launch('printf', ['%s\n', 'x y'], {
      prefix: ['env', 'FROM_PREFIX=1', 'sh', '-c', 'echo $FROM_PREFIX; exec "$@"', 'sh'],
    }),
  );
  t.equal(stdout, '1\nx y\n');
});

t.test('no descriptor but the three is passed on', { skip: lacks('linux') }, async (t) => {
  const { stdout } = await outcome(await launch('ls', ['/proc/self/fd']));
  // What this process has itself from whoever started it goes to every child.
  const plain = spawn('ls', ['/proc/self/fd'], { stdio: ['pipe', 'pipe', 'pipe'] });
  t.equal(stdout, await text(plain.stdout));
});

t.test('the cap on open files holds before the first instruction; without one they stay as they are', async (t) => {
  t.equal((await outcome(await launch('sh', ['-c', 'ulimit -Sn; ulimit -Hn']), 64)).stdout, '64\n64\n');
  const own = await new Promise<string>((resolve) => {
    const shell = spawn('sh', ['-c', 'ulimit -Hn'], { stdio: ['ignore', 'pipe', 'ignore'] });
    resolve(text(shell.stdout));
  });
  t.equal((await outcome(await launch('sh', ['-c', 'ulimit -Hn']))).stdout, own);
});

t.test('how it ended', async (t) => {
  t.same((await outcome(await launch('sh', ['-c', 'exit 7']))).exit, { code: 7 });
  t.same((await outcome(await launch('sh', ['-c', 'kill -9 $$']))).exit, { signal: 'SIGKILL' });
  t.same((await outcome(await launch('governor-test-no-such-command'))).exit, { code: 127 });
});

t.test('a gate that is closed: the tool never runs', async (t) => {
  const witness = join(t.testdir({}), 'it ran');
  const process = await launch('touch', [witness]);
  process.closeGate();
  t.same(await process.exited, { code: 125 });
  t.notOk(existsSync(witness));
  process.closeGate();
  process.openGate(null);
});

t.test('closing a gate that was opened changes nothing', async (t) => {
  const process = await launch('sh', ['-c', 'read -r line; exit "$line"']);
  process.openGate(null);
  process.closeGate();
  process.stdin.end('9\n');
  t.same(await process.exited, { code: 9 });
});

t.test('a folder that does not exist', async (t) => {
  await t.rejects(launch('true', [], { cwd: '/governor-test/no/such/folder' }), {
    ...isGovernorError('launch_failed'),
    message: /^cannot start in \/governor-test\/no\/such\/folder: /,
  });
});

t.test('writing to a tool that has ended is no failure of ours', async (t) => {
  const process = await launch('true');
  await outcome(process);
  process.stdin.write('late');
  process.stdin.end();
  await waitFor('the end of its input', () => process.stdin.closed);
  t.notOk(process.stdin.writable, 'and nothing was thrown');
});

t.test('a daemon that dies at the gate leaves nothing', async (t) => {
  const mark = newMarker();
  t.teardown(() => killSurvivors(mark));
  const witness = join(t.testdir({}), 'it ran');
  const module = new URL('../../../lib/process/managed-launch.js', import.meta.url).href;
  const script = `
    const { launchManaged } = await import(${JSON.stringify(module)});
    const { pid } = await launchManaged({ command: 'touch', args: [${JSON.stringify(witness)}], cwd: '/', environment: process.env, prefix: [] });
    console.log(pid);
    setInterval(() => undefined, 1000);`;
  const daemon = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...environment, ...fixtureEnvironment(mark) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = Number(await firstLine(daemon.stdout));
  const waiting = identityOf(pid);
  t.ok(waiting !== null && isAlive(waiting));
  daemon.kill('SIGKILL');
  t.same(await survivorsAfter(mark, 10_000), []);
  t.notOk(existsSync(witness));
});

async function firstLine(stdout: Readable): Promise<string> {
  let said = '';
  stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return waitFor('the first line', () => said.includes('\n') && said.slice(0, said.indexOf('\n')));
}
