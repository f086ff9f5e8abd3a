import t from 'tap';
import { spawn, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { unansweredLaunchers, waitingLaunchers } from '../../../lib/process/launch-requests.ts';
import { Rendezvous, type LaunchRequest } from '../../../lib/process/rendezvous.ts';
import { openClientPipes } from '../../../lib/process/client-pipes.ts';
import { procfsFacts } from '../../../lib/os/procfs/process-facts.ts';
import { LAUNCHER } from '../../helpers/daemon.ts';
import { fixtureEnvironment, newMarker, type TestScope } from '../../helpers/fixture.ts';
import { lacks } from '../../helpers/skip.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';
import { pause, waitFor } from '../../helpers/wait-for.ts';

const marker = newMarker();
t.teardown(() => killSurvivors(marker));
const environment = { PATH: process.env['PATH'] ?? '', HOME: '/', ...fixtureEnvironment(marker) };
const self = procfsFacts.identity(process.pid) ?? { pid: process.pid, startTicks: 0 };

interface Door {
  readonly stateDir: string;
  readonly directory: string;
  readonly requests: LaunchRequest[];
  readonly refused: string[];
  readonly rendezvous: Rendezvous;
  ring(text: string): void;
}

function open(t: TestScope, stateDir: string = temporaryDirectory(t)): Door {
  const directory = join(stateDir, 'launch');
  const requests: LaunchRequest[] = [];
  const refused: string[] = [];
  const rendezvous = new Rendezvous({
    directory,
    self,
    facts: procfsFacts,
    onRequest: (request) => void requests.push(request),
    onRefused: (reason) => void refused.push(reason),
  });
  t.teardown(() => rendezvous.close());
  const ring = (text: string): void => {
    const doorbell = openSync(join(directory, 'doorbell'), 'r+');
    writeSync(doorbell, text);
    closeSync(doorbell);
  };
  return { stateDir, directory, requests, refused, rendezvous, ring };
}

interface Waiting {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<number | null>;
  said(): string;
}

/** What a launcher is to the daemon: a process with `run` among its words that waits at a pipe of its own. */
const STAND_IN = `exec 9<<X
X
exec 9<>/proc/$$/fd/9 8<>/dev/null
echo ready
while IFS= read -r line <&9; do echo "heard $line"; case $line in go | die*) exit 0 ;; esac; done`;

async function standIn(
  words: readonly string[] = ['run', '--', 'true'],
  more: { readonly uid?: number } = {},
): Promise<Waiting> {
  const waiting = start('sh', ['-c', STAND_IN, 'sh', ...words], environment, more);
  await waitFor('the stand-in', () => waiting.said().startsWith('ready\n'));
  return waiting;
}

/** The real one. */
function launcher(stateDir: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Waiting {
  return start(LAUNCHER, ['run', ...words], { ...environment, GOVERNOR_STATE_DIR: stateDir, ...env });
}

function start(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  more: { readonly uid?: number } = {},
): Waiting {
  const child = spawn(command, args, { env, cwd: '/usr', stdio: ['ignore', 'pipe', 'pipe'], ...more });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  return { child, pid: child.pid ?? 0, ended, said: () => said };
}

const requested = (door: Door, count = 1): Promise<LaunchRequest> =>
  waitFor('the request', () => door.requests.length >= count && door.requests[count - 1]);
const pending = (door: Door): readonly string[] => readdirSync(join(door.directory, 'pending'));

/** So much is certain when the answer to a later ring is there: the ones before were heard. */
async function heardSoFar(door: Door): Promise<void> {
  const sentinel = `sentinel ${door.refused.length}`;
  door.ring(`${sentinel}\n`);
  await waitFor('the sentinel', () => door.refused.some((reason) => reason.includes(sentinel)));
  door.refused.splice(
    door.refused.findIndex((reason) => reason.includes(sentinel)),
    1,
  );
}

t.test('a launcher is heard with its words, its folder and its environment, and becomes the tool', async (t) => {
  const door = open(t);
  const waiting = launcher(
    door.stateDir,
    ['--name', 'a b', '--', 'sh', '-c', 'echo "$1 $ADDED $TAKEN"; exit 5', 'sh', 'one  two'],
    { TAKEN: 'as it is' },
  );
  const request = await requested(door);
  t.equal(request.launcher.pid, waiting.pid);
  t.same(request.words, ['--name', 'a b', '--', 'sh', '-c', 'echo "$1 $ADDED $TAKEN"; exit 5', 'sh', 'one  two']);
  t.equal(request.cwd, '/usr');
  t.ok(request.environment.includes('TAKEN=as it is'));
  t.same(waitingLaunchers(door.directory), [waiting.pid], 'on disk until it is answered');
  t.equal(request.answer(['skip 4', 'set ADDED=by the daemon', 'go']), true);
  t.equal(await waiting.ended, 5);
  t.equal(waiting.said(), 'one  two by the daemon as it is\n');
  t.equal(request.answer(['go']), false, 'answered once');
  t.same(pending(door), []);
  t.same(door.refused, []);
});

t.test('a refusal is one line and an exit code', async (t) => {
  const door = open(t);
  const waiting = launcher(door.stateDir, ['nothing']);
  (await requested(door)).answer(['die 127 nothing: command not found\nin two lines']);
  t.equal(await waiting.ended, 127);
  t.equal(
    waiting.said(),
    'governor: nothing: command not found in two lines\n',
    'a line cannot bring a second instruction',
  );
});

t.test('rings that are no requests are refused, and the next ones are heard', async (t) => {
  const door = open(t);
  const malformed = [
    '',
    'hello',
    '12',
    '1 2 3',
    '-1 9',
    '12345678901 1',
    '1 12345',
    ' 1 2',
    '1 2 ',
    '\u0000\u00ff',
    '1\t2',
    '1e3 1',
  ];
  door.ring(malformed.map((line) => `${line}\n`).join(''));
  await heardSoFar(door);
  t.equal(door.refused.length, malformed.length);
  t.ok(door.refused.every((reason) => reason.startsWith('malformed request ') && reason.length < 250));
  door.refused.length = 0;
  door.ring('x'.repeat(60_000));
  door.ring('\n');
  await heardSoFar(door);
  t.equal(door.refused.length, 1, 'a line without end is cut off');
  const waiting = await standIn();
  writeFileSync(join(door.directory, 'pending', String(waiting.pid)), `${waiting.pid} 9\n`);
  const ring = `${waiting.pid} 9\n`;
  door.ring(ring.slice(0, 3));
  await pause(20);
  door.ring(ring.slice(3));
  (await requested(door)).answer(['go']);
  t.equal(await waiting.ended, 0);
});

t.test('a ring without a request on disk is nothing', async (t) => {
  const door = open(t);
  const waiting = await standIn();
  door.ring(`${waiting.pid} 9\n`);
  await heardSoFar(door);
  t.same([door.requests, door.refused], [[], []]);
});

t.test('what is no launcher is refused, and its request taken away', async (t) => {
  const door = open(t);
  const gone = await standIn();
  gone.child.kill('SIGKILL');
  await gone.ended;
  const noRun = await standIn(['walk', '--', 'true']);
  const other = await standIn();
  const cases: readonly (readonly [name: string, pid: number, fd: string, reason: RegExp])[] = [
    ['dead', gone.pid, '9', /is no launcher$/],
    ['the first of all', 1, '0', /^process 1 (is no launcher|belongs to another user)/],
    ['without the word', noRun.pid, '9', /is no launcher$/],
    ['its descriptor is no pipe', other.pid, '8', /is no launcher: its descriptor 8 is no pipe$/],
    ['it has no such descriptor', other.pid, '77', /is no launcher: ENOENT/],
  ];
  for (const [name, pid, fd, reason] of cases) {
    door.refused.length = 0;
    writeFileSync(join(door.directory, 'pending', String(pid)), `${pid} ${fd}\n`);
    door.ring(`${pid} ${fd}\n`);
    await heardSoFar(door);
    t.match(door.refused, [reason], name);
    t.same(pending(door), [], name);
  }
  t.same(door.requests, []);
});

t.test(
  'a client that is to be connected is heard with its pipes; one without, or a tool with some, is refused',
  async (t) => {
    const door = open(t);
    const client = await standIn(['connect', '--context', 'my desk', 'echo']);
    t.teardown(() => void client.child.kill('SIGKILL'));
    const ask = async (line: string): Promise<void> => {
      writeFileSync(join(door.directory, 'pending', String(client.pid)), line);
      door.ring(`${line}\n`);
      await heardSoFar(door);
    };
    await ask(`${client.pid} 9`);
    t.same(door.refused.splice(0), [`process ${client.pid} asks for connect with the wrong pipes`]);
    await ask(`${client.pid} 9 8`);
    t.match(door.refused.splice(0), [/^malformed request/]);
    await ask(`${client.pid} 9 9 8`);
    const request = await requested(door);
    t.match(request, { verb: 'connect', pipes: [9, 8], words: ['--context', 'my desk', 'echo'] });
    t.throws(() => openClientPipes(client.pid, [9, 8]), /fd\/8 is no pipe/);
    t.throws(() => openClientPipes(client.pid, [7, 9]), { code: 'ENOENT' });
    request.answer(['go']);
    await client.ended;
    const tool = await standIn(['run', '--', 'connect']);
    t.teardown(() => void tool.child.kill('SIGKILL'));
    writeFileSync(join(door.directory, 'pending', String(tool.pid)), `${tool.pid} 9 9 9`);
    door.ring(`${tool.pid} 9 9 9\n`);
    await heardSoFar(door);
    t.same(door.refused, [`process ${tool.pid} asks for run with the wrong pipes`]);
  },
);

t.test("another user's process is refused", { skip: lacks('root') }, async (t) => {
  const door = open(t);
  const foreign = await standIn(['run', '--', 'true'], { uid: 65_534 });
  writeFileSync(join(door.directory, 'pending', String(foreign.pid)), `${foreign.pid} 9\n`);
  door.ring(`${foreign.pid} 9\n`);
  await heardSoFar(door);
  t.match(door.refused, [`process ${foreign.pid} belongs to another user`]);
  t.same(door.requests, []);
});

t.test('however often it rings, it is one request', async (t) => {
  const door = open(t);
  const waiting = await standIn();
  writeFileSync(join(door.directory, 'pending', String(waiting.pid)), `${waiting.pid} 9\n`);
  for (let count = 0; count < 3; count++) door.ring(`${waiting.pid} 9\n`);
  await heardSoFar(door);
  t.equal(door.requests.length, 1);
  (await requested(door)).answer(['go']);
  door.ring(`${waiting.pid} 9\n`);
  await heardSoFar(door);
  t.equal(door.requests.length, 1);
  t.match(waiting.said(), /heard go\n$/);
});

t.test('requests that an earlier daemon left are served at the start', async (t) => {
  const stateDir = temporaryDirectory(t);
  const waiting = [await standIn(), await standIn(['run', '--', 'false'])];
  const gone = await standIn();
  gone.child.kill('SIGKILL');
  await gone.ended;
  const folder = join(stateDir, 'launch/pending');
  mkdirSync(folder, { recursive: true });
  for (const { pid } of [...waiting, gone]) writeFileSync(join(folder, String(pid)), `${pid} 9\n`);
  writeFileSync(join(folder, 'README'), 'not a request');
  t.same(
    [...waitingLaunchers(join(stateDir, 'launch'))].toSorted(),
    [...waiting, gone].map(({ pid }) => pid).toSorted(),
  );
  const door = open(t, stateDir);
  t.same(door.requests.map(({ launcher }) => launcher.pid).toSorted(), waiting.map(({ pid }) => pid).toSorted());
  t.match(door.refused, [`process ${gone.pid} is no launcher`]);
  let caughtUp = false;
  void door.rendezvous.caughtUp.then(() => (caughtUp = true));
  door.requests[0]?.answer(['go']);
  await pause(10);
  t.notOk(caughtUp, 'one is still waiting');
  door.requests[1]?.answer(['die 125 no']);
  await door.rendezvous.caughtUp;
  await Promise.all(waiting.map(({ ended }) => ended));
  t.same(pending(door), ['README']);
});

t.test('with nothing left to serve, it has caught up at once', async (t) => {
  await open(t).rendezvous.caughtUp;
  t.same(waitingLaunchers(join(temporaryDirectory(t), 'launch')), [], 'no folder yet');
});

t.test('a request that was never finished goes with its launcher', async (t) => {
  const stateDir = temporaryDirectory(t);
  const folder = join(stateDir, 'launch/pending');
  mkdirSync(folder, { recursive: true });
  const gone = await standIn();
  gone.child.kill('SIGKILL');
  await gone.ended;
  const writing = await standIn();
  writeFileSync(join(folder, String(gone.pid)), '');
  writeFileSync(join(folder, String(writing.pid)), '');
  const door = open(t, stateDir);
  t.same(pending(door), [String(writing.pid)], 'who still lives may be just about to write it');
  await door.rendezvous.caughtUp;
  appendFileSync(join(folder, String(writing.pid)), `${writing.pid} 9\n`);
  door.ring(`${writing.pid} 9\n`);
  (await requested(door)).answer(['go']);
  t.equal(await writing.ended, 0);
});

t.test('an earlier daemon died while it answered', async (t) => {
  const stateDir = temporaryDirectory(t);
  const directory = join(stateDir, 'launch');
  const folder = join(directory, 'pending');
  mkdirSync(folder, { recursive: true });
  const unheard = await standIn();
  const twice = await standIn();
  // It was told and has become its tool: another program, without the pipe.
  const tool = start('sleep', ['60', 'run'], environment);
  t.teardown(() => tool.child.kill('SIGKILL'));
  for (const { pid } of [unheard, twice, tool]) writeFileSync(join(folder, `${pid}.answered`), `${pid} 9\n`);
  writeFileSync(join(folder, String(twice.pid)), `${twice.pid} 9\n`);
  writeFileSync(join(folder, '1'), '');
  t.same(
    [...unansweredLaunchers(directory)].toSorted(),
    [unheard, twice].map(({ pid }) => pid).toSorted(),
    'a tool does not wait, nor who has not asked yet',
  );
  const door = open(t, stateDir);
  t.same(
    door.requests.map(({ launcher }) => launcher.pid).toSorted(),
    [unheard, twice].map(({ pid }) => pid).toSorted(),
  );
  t.match(door.refused, [new RegExp(`^process ${tool.pid} is no launcher`)]);
  for (const request of door.requests) request.answer(['go']);
  t.same(await Promise.all([unheard.ended, twice.ended]), [0, 0]);
  t.same(pending(door), ['1']);
});

t.test('there is a doorbell at every instant, while one daemon takes over from another', async (t) => {
  const stateDir = temporaryDirectory(t);
  const directory = join(stateDir, 'launch');
  open(t, stateDir);
  // As a launcher that rings makes it where none is.
  const seen = start(
    'sh',
    ['-c', 'echo on; while [ -p "$0" ]; do :; done; echo gap', join(directory, 'doorbell')],
    environment,
  );
  await waitFor('the look-out', () => seen.said() === 'on\n');
  for (let count = 0; count < 20; count += 1) open(t, stateDir);
  await pause(20);
  t.equal(seen.said(), 'on\n');
  seen.child.kill('SIGKILL');
  await seen.ended;
  rmSync(join(directory, 'doorbell'));
  writeFileSync(join(directory, 'doorbell'), 'a ring that came when no daemon ran\n');
  const door = open(t, stateDir);
  t.ok(statSync(join(directory, 'doorbell')).isFIFO());
  const waiting = launcher(stateDir, ['true']);
  (await requested(door)).answer(['skip 1', 'go']);
  t.equal(await waiting.ended, 0);
});

t.test('a launcher that has gone before its answer', async (t) => {
  const door = open(t);
  const waiting = launcher(door.stateDir, ['true']);
  const request = await requested(door);
  waiting.child.kill('SIGKILL');
  await waiting.ended;
  t.equal(request.answer(['go']), false);
  t.same(pending(door), []);
});

t.test('closed: new launchers find no daemon here', async (t) => {
  const door = open(t);
  t.ok(existsSync(join(door.directory, 'daemon')));
  door.rendezvous.close();
  t.notOk(existsSync(join(door.directory, 'daemon')));
  t.notOk(existsSync(join(door.directory, 'doorbell')));
  const next = open(t, door.stateDir);
  const waiting = launcher(next.stateDir, ['true']);
  (await requested(next)).answer(['skip 1', 'go']);
  t.equal(await waiting.ended, 0, 'and the next daemon is found');
});
