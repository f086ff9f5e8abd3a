/** Tools that leak handles, sockets and output, each under a daemon that lets it go on or ends it. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { LAUNCHER, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, type RunningFixture, startProgram } from '../helpers/fixture.ts';
import { lacks } from '../helpers/skip.ts';
import { formatSurvivor, survivorsAfter } from '../helpers/survivors.ts';
import { waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
const skip = lacks('linux');
const CONFIG = {
  daemon: { sample_interval: '100ms' },
  tools: {
    // Room for a busy daemon between the brake and the limit.
    slow: {
      command: 'true',
      autostart: false,
      limits: { file_handles: 1000 },
      stages: { file_handles: { warning: '40%', throttled: '50%', cleanup: '100%', emergency: '150%' } },
    },
    own: { command: 'true', autostart: false, limits: { file_handles: 'none' } },
  },
};

t.test('file handles, slowly: the brake refuses the next one, and the tool lives on', { skip }, async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const leak = start(t, daemon, 'slow', ['fd-leak-to-emfile', '--per-second=200']);
  const { opened } = (await leak.said('emfile')) as { opened: number };
  t.ok(opened > 400 && opened < 1000, `EMFILE after ${opened} of 1000`);
  await stageIs(daemon, 'slow', 'throttled');
  t.equal(leak.child.exitCode ?? leak.child.signalCode, null, 'it lives');
  const { files } = (await daemon.call('GET', '/v1/tools/slow/files')).json as { files: readonly { target: string }[] };
  t.ok(files.filter(({ target }) => target === '/dev/null').length >= opened, 'and what it holds can be looked at');
  t.equal((await daemon.cli(['stop', 'slow'])).code, 0);
  t.same((await survivorsAfter(leak.marker, 5000)).map(formatSurvivor), []);
  calm(t, daemon);
});

t.test('file handles, at once: the kernel refuses at 150 %, and the tool is ended', { skip }, async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const leak = start(t, daemon, 'quick', ['fd-leak-to-emfile', '--per-second=100000'], '--file-handles', '200');
  const { opened } = (await leak.said('emfile')) as { opened: number };
  t.ok(opened < 300, `EMFILE after ${opened}`);
  t.same(await leak.ended, { code: null, signal: 'SIGKILL' });
  t.match(await endOf(daemon, 'quick'), { reason: 'limit', report: { left: {} } });
  calm(t, daemon);
});

t.test('file handles without a limit of Governor: its own ulimit refuses, nobody ends it', { skip }, async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const words = ['sh', '-c', 'ulimit -n 200; exec "$@"', 'sh', ...fixtureCommand('fd-leak-to-emfile')];
  const leak = startProgram(t, [LAUNCHER, 'run', '--name', 'own', '--', ...words], {
    env: daemon.env,
    detached: true,
  });
  t.ok(((await leak.said('emfile')) as { opened: number }).opened < 200);
  const seen = await usageOf(daemon, 'own', 'file_handles', 199);
  t.ok(seen >= 199, `${seen} handles are counted`);
  t.equal((await daemon.cli(['stop', 'own'])).code, 0);
  t.same((await survivorsAfter(leak.marker, 5000)).map(formatSurvivor), []);
});

t.test('sockets in CLOSE_WAIT are closed for the tool, which lives on', { skip: skip || lacks('root') }, async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const leak = start(t, daemon, 'leak', ['leak-close-wait', '--count=40']);
  await leak.said('ready');
  t.equal((await daemon.call('PATCH', '/v1/tools/leak', { limits: { sockets: 70 } })).status, 200);
  const action = await waitFor('the sockets to be closed', async () =>
    (await audit(daemon, 'leak', 'action')).find(({ action }) => action === 'destroy_stale_sockets'),
  );
  if (action['outcome'] === 'unsupported') {
    t.match(action, { detail: /./ }, 'the reason is said');
    t.match(await endOf(daemon, 'leak'), { reason: 'limit' }, 'and the tool is stopped instead');
    return;
  }
  t.match(action, { stage: 'cleanup', outcome: 'done', detail: '40 sockets in CLOSE_WAIT closed' });
  // The other ends, in the same tool, hear of it and go; the tool never asks after its own, and keeps the bare handles.
  await waitFor('none to be in CLOSE_WAIT', async () => {
    const { sockets } = (await daemon.call('GET', '/v1/tools/leak/sockets')).json as {
      sockets: readonly { state: string | null }[];
    };
    return sockets.length < 70 && sockets.every(({ state }) => state !== 'CLOSE-WAIT');
  });
  await stageIs(daemon, 'leak', 'normal');
  t.equal(leak.child.exitCode ?? leak.child.signalCode, null, 'it lives');
  t.equal((await daemon.cli(['stop', 'leak'])).code, 0);
  t.same((await survivorsAfter(leak.marker, 5000)).map(formatSurvivor), []);
  calm(t, daemon);
});

t.test('100 MB on stderr of a direct run: every byte is its client’s, none the daemon’s', { skip }, async (t) => {
  const daemon = await startDaemon(t, { config: CONFIG });
  const before = residentBytes(daemon.pid);
  const words = ['run', '--name', 'loud', '--', ...fixtureCommand('stderr-100mb', ['--mb=100'])];
  const child = spawn(LAUNCHER, words, { env: daemon.env, stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let bytes = 0;
  child.stderr.on('data', (part: Buffer) => (bytes += part.length));
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.same([code, bytes], [0, 100 * MIB]);
  const grown = residentBytes(daemon.pid) - before;
  t.ok(grown < 40 * MIB, `the daemon is ${Math.round(grown / MIB)} MiB bigger`);
  t.match(await endOf(daemon, 'loud'), { reason: 'exited' });
});

function start(
  t: Test,
  daemon: RunningDaemon,
  name: string,
  [fixture = '', ...args]: readonly string[],
  ...flags: readonly string[]
): RunningFixture {
  const words = [LAUNCHER, 'run', '--name', name, ...flags, '--grace', '200ms', '--', ...fixtureCommand(fixture, args)];
  return startProgram(t, words, { env: daemon.env, detached: true });
}

async function stageIs(daemon: RunningDaemon, name: string, stage: string): Promise<void> {
  await waitFor(`${name} to be ${stage}`, async () => {
    const { json } = await daemon.call('GET', `/v1/tools/${encodeURIComponent(name)}`);
    return json.stage === stage;
  });
}

async function usageOf(daemon: RunningDaemon, name: string, resource: string, atLeast: number): Promise<number> {
  return waitFor(`${resource} of ${name}`, async () => {
    const { resources } = (await daemon.call('GET', `/v1/tools/${name}/usage`)).json as {
      resources: readonly { resource: string; usage: number | null }[];
    };
    const usage = resources.find((one) => one.resource === resource)?.usage ?? 0;
    return usage >= atLeast && usage;
  });
}

async function audit(
  daemon: RunningDaemon,
  tool: string,
  kind: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  return (await daemon.call('GET', `/v1/audit?kind=${kind}&tool=${encodeURIComponent(tool)}&limit=1000`)).json.entries;
}

function endOf(daemon: RunningDaemon, tool: string): Promise<Readonly<Record<string, unknown>>> {
  return waitFor(`the cleanup after ${tool}`, async () => (await audit(daemon, tool, 'cleanup'))[0]);
}

function residentBytes(pid: number): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

function calm(t: Test, daemon: RunningDaemon): void {
  t.notMatch(
    daemon.output(),
    /could not be carried out|sampling failed|the end of a run failed/,
    'the daemon met no error',
  );
}
