/** `governor run` in every backend: what goes in and what comes out is that of a plain start. */

import { spawn } from 'node:child_process';
import t from 'tap';
import { LAUNCHER } from '../helpers/daemon.ts';
import { fixtureCommand, lacksFixture, startProgram } from '../helpers/fixture.ts';
import { waitFor } from '../helpers/wait-for.ts';
import { lacksStand, newStandDir, standFor, startOn } from '../fault/stand.ts';

const ADDED = new Set(['GOVERNOR_RUN', 'GOVERNOR_SOCKET', 'GOVERNOR_TOOL', 'MEMORY_PRESSURE_WATCH', 'TMPDIR']);

const STANDS = [
  ...(['cgroup2', 'cgroup1', 'cgroup2-scope', 'cgroup2-bare', 'pidns', 'procfs'] as const).map((backend) =>
    standFor(backend),
  ),
  standFor('pidns', 'nobody'),
  standFor('procfs', 'nobody'),
];
const noFixture = lacksFixture('report-start');

for (const stand of STANDS) {
  const skip = noFixture === false ? await lacksStand(stand) : noFixture;
  await t.test(stand.name, { skip }, async (t) => {
    const daemon = await startOn(t, stand, { stateDir: newStandDir(t, stand) });
    const namespaced = stand.backend === 'pidns';
    const [program, ...prefix] = [...stand.as, LAUNCHER];
    const run = (words: readonly string[], input: Buffer | string = ''): Promise<Ended> =>
      toEnd(program, [...prefix, 'run', ...words], daemon.env, input);

    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 256));
    const cat = await run(['--', 'sh', '-c', 'cat; echo to stderr >&2; exit 42'], bytes);
    t.ok(cat.stdout.equals(bytes), 'bytes pass in both directions');
    t.match({ code: cat.code, stderr: cat.stderr }, { code: 42, stderr: 'to stderr\n' });

    const report = fixtureCommand('report-start', ['a b', '', "it's", '"q"', '--', 'ünï', 'two\nlines', '*', '$HOME']);
    const [plainProgram = '', ...plainWords] = [...stand.as, ...report];
    const plain = JSON.parse((await toEnd(plainProgram, plainWords, daemon.env, '')).stdout.toString()) as Document;
    const governed = JSON.parse((await run(['--', ...report])).stdout.toString()) as Document;
    t.same(governed['argv'], plain['argv'], 'arguments');
    const own = (document: Document): readonly string[] =>
      (document['env'] as string[]).filter((entry) => !ADDED.has(entry.split('=', 1)[0] ?? '')).toSorted();
    // A shell on the way sets them for itself, and util-linux its own.
    const shells = /^(_|OLDPWD|SHLVL|PWD)=/;
    t.same(
      own(governed).filter((entry) => !shells.test(entry)),
      own(plain).filter((entry) => !shells.test(entry)),
      'environment',
    );
    t.same(
      (governed['env'] as string[]).filter((entry) => ADDED.has(entry.split('=', 1)[0] ?? '')).length,
      ADDED.size,
      'and what is promised',
    );
    t.same(Object.keys(governed['fds'] as object), Object.keys(plain['fds'] as object), 'descriptors');
    // Another namespace numbers sessions differently.
    for (const key of ['cwd', 'umask', 'nice', 'oomScoreAdj', ...(namespaced ? [] : ['sid'])])
      t.same(governed[key], plain[key], key);
    const dispositions = (document: Document): unknown =>
      ['SigBlk', 'SigIgn'].map((key) => (document['status'] as Record<string, string>)[key]);
    t.same(dispositions(governed), dispositions(plain), 'signal dispositions');

    for (const signal of ['TERM', 'KILL', 'USR1'] as const) {
      const died = await run(['--', 'sh', '-c', `kill -${signal} $$`]);
      const number = { TERM: 15, KILL: 9, USR1: 10 }[signal];
      t.same(
        { code: died.code, signal: died.signal },
        namespaced ? { code: 128 + number, signal: null } : { code: null, signal: `SIG${signal}` },
        `death by ${signal}`,
      );
    }
    const missing = await toEnd('env', [...stand.as, 'sh', '-c', 'exec no-such-command'], daemon.env, '');
    t.equal(
      (await run(['--', 'no-such-command'])).code,
      missing.code,
      'a command that is not there, or in a folder that cannot be looked into',
    );
    t.equal((await run(['--', '/'])).code, 126);

    const handler = startProgram(
      t,
      [...stand.as, LAUNCHER, 'run', '--name', 'handler', '--', ...fixtureCommand('handles-signals')],
      { env: daemon.env, detached: true },
    );
    await handler.said('ready');
    // unshare(1) stands between, which passes on what its version can: daemon/docs/backends.md.
    for (const signal of namespaced ? [] : (['SIGINT', 'SIGHUP', 'SIGUSR2'] as const)) {
      handler.child.kill(signal);
      await waitFor(`${signal} to arrive`, () => handler.lines().some((line) => line.includes(signal)));
    }
    if (namespaced) await daemon.call('POST', '/v1/tools/handler/deactivate', {});
    else handler.child.kill('SIGTERM');
    t.same(
      await handler.ended,
      { code: 3, signal: null },
      'signals to the process that the client knows reach the tool, which ends as it likes',
    );

    const closed = startProgram(
      t,
      [...stand.as, LAUNCHER, 'run', '--name', 'reader', '--', 'sh', '-c', 'echo ready; cat >/dev/null; exit 6'],
      { env: daemon.env, detached: true },
    );
    await closed.said('ready');
    closed.child.stdin?.end();
    t.same(await closed.ended, { code: 6, signal: null }, 'the end of input is passed on');
  });
}

type Document = Readonly<Record<string, unknown>>;

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function toEnd(
  program: string,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
  input: Buffer | string,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const parts: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(parts), stderr }));
  });
}
