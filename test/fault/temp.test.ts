/** What a tool may leave in its temporary directory, and that nothing outside of it is touched. */

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LAUNCHER, type RunningDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, type RunningFixture, startProgram, type TestScope } from '../helpers/fixture.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { waitFor } from '../helpers/wait-for.ts';
import { lacksStand, newStandDir, type Stand, standFor, startOn } from './stand.ts';

const MIB = 2 ** 20;

for (const stand of [standFor('cgroup2'), standFor('cgroup1'), standFor('procfs'), standFor('procfs', 'nobody')]) {
  await t.test(stand.name, { skip: await lacksStand(stand) }, async (t) => {
    const stateDir = newStandDir(t, stand);
    const daemon = await startOn(t, stand, { stateDir });
    const target = precious(t);
    const before = listing(target);
    const many = await start(t, stand, daemon, 'many', ['fill-temp-many', '--files=3000']);
    const unlinked = await start(t, stand, daemon, 'unlinked', ['fill-temp-unlinked-open', '--mb=24']);
    const links = await start(t, stand, daemon, 'links', ['temp-symlinks-out', `--target=${target}`]);
    t.ok((await usage(daemon, 'many', 3000 * 4096)) >= 3000 * 4096, 'many small files are counted');
    const hidden = await usage(daemon, 'unlinked', 24 * MIB);
    t.ok(hidden >= 24 * MIB && hidden < 26 * MIB, `unlinked files that are open are counted: ${hidden}`);
    t.ok((await usage(daemon, 'links', 1)) < 4 * MIB, 'what links lead to is not counted');
    const directories = await Promise.all(['many', 'unlinked', 'links'].map((name) => tempDir(daemon, name)));
    await Promise.all(
      ['many', 'unlinked', 'links'].map((name) => daemon.call('POST', `/v1/tools/${name}/deactivate`, {})),
    );
    await Promise.all([many, unlinked, links].map(({ ended }) => ended));
    await waitFor('the tools to be over', async () => (await daemon.call('GET', '/v1/tools')).json.tools.length === 0);
    t.same(
      directories.filter((directory) => existsSync(directory)),
      [],
      'every directory is gone, those without permission too',
    );
    t.same(listing(target), before, 'targets of links are as they were');
    const reports = await cleanups(daemon);
    t.same(Object.keys(reports).toSorted(), ['links', 'many', 'unlinked']);
    t.ok((reports['many']?.held['temp_files'] ?? 0) >= 3000, 'the report tells how much was held');
    t.ok((reports['unlinked']?.reclaimed['temp_bytes'] ?? 0) >= 24 * MIB);
    for (const [tool, report] of Object.entries(reports)) {
      t.match(
        report.steps.find(({ label }) => label.startsWith('5')),
        { outcome: 'ok' },
        `${tool}: ${JSON.stringify(report.steps)}`,
      );
      t.same(report.left, {}, tool);
    }
  });
}

t.test('a temporary directory that the tool replaced by a link', async (t) => {
  const stand = standFor('procfs');
  const daemon = await startOn(t, stand, { stateDir: newStandDir(t, stand) });
  const target = precious(t);
  const before = listing(target);
  const tool = startProgram(
    t,
    [
      LAUNCHER,
      'run',
      '--name',
      'swap',
      '--',
      'sh',
      '-c',
      `rmdir "$TMPDIR" && ln -s ${target} "$TMPDIR" && echo ready && exec cat`,
    ],
    { env: daemon.env, detached: true },
  );
  await tool.said('ready');
  const directory = await tempDir(daemon, 'swap');
  t.equal((await daemon.cli(['stop', 'swap'])).code, 1, 'procfs proves nothing');
  t.same(listing(target), before, 'what it leads to is as it was');
  await waitFor('the tool to be over', async () => (await daemon.call('GET', '/v1/tools')).json.tools.length === 0);
  t.notOk(existsSync(directory), 'the link itself may go');
});

/** A directory outside, which every user may write to: only care keeps it whole. */
function precious(t: TestScope): string {
  const target = temporaryDirectory(t);
  mkdirSync(join(target, 'below'));
  writeFileSync(join(target, 'precious.txt'), 'keep me');
  writeFileSync(join(target, 'below/more.txt'), 'me too');
  for (const path of ['', 'below']) chmodSync(join(target, path), 0o777);
  for (const path of ['precious.txt', 'below/more.txt']) chmodSync(join(target, path), 0o666);
  return target;
}

function listing(directory: string): readonly unknown[] {
  return (readdirSync(directory, { recursive: true }) as string[]).toSorted().map((path) => {
    const found = statSync(join(directory, path));
    return [path, found.mode, found.uid, found.isFile() ? readFileSync(join(directory, path), 'utf8') : 'directory'];
  });
}

async function start(
  t: TestScope,
  stand: Stand,
  daemon: RunningDaemon,
  name: string,
  [fixture = '', ...args]: readonly string[],
): Promise<RunningFixture> {
  const words = [...stand.as, LAUNCHER, 'run', '--name', name, '--grace', '2s', '--', ...fixtureCommand(fixture, args)];
  const tool = startProgram(t, words, { env: daemon.env, detached: true });
  await tool.said('ready');
  return tool;
}

/** As soon as it is at least so much: the directory is walked piece by piece. */
async function usage(daemon: RunningDaemon, name: string, atLeast: number): Promise<number> {
  return waitFor(`the temp usage of ${name}`, async () => {
    const { resources } = (await daemon.call('GET', `/v1/tools/${name}/usage`)).json as {
      resources: { resource: string; usage: number | null }[];
    };
    const found = resources.find(({ resource }) => resource === 'temp_storage')?.usage ?? 0;
    return found >= atLeast && found;
  });
}

async function tempDir(daemon: RunningDaemon, name: string): Promise<string> {
  return (await daemon.call('GET', `/v1/tools/${name}`)).json.runs[0].tempDir as string;
}

interface Report {
  readonly held: Readonly<Record<string, number>>;
  readonly reclaimed: Readonly<Record<string, number>>;
  readonly left: Readonly<Record<string, number>>;
  readonly steps: readonly { readonly label: string; readonly outcome: string }[];
}

async function cleanups(daemon: RunningDaemon): Promise<Readonly<Record<string, Report>>> {
  const { entries } = (await daemon.call('GET', '/v1/audit?kind=cleanup')).json as {
    entries: { tool: string; report: Report }[];
  };
  return Object.fromEntries(entries.map(({ tool, report }) => [tool, report]));
}
