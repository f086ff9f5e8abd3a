import t, { type Test } from 'tap';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../../config/config.ts';
import { loadConfig } from '../../../config/load.ts';
import { createLaunchDoor } from '../../../daemon/launch-door.ts';
import type { LaunchRequest } from '../../../lib/process/rendezvous.ts';
import type { Ancestor } from '../../../lib/process/facts.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import { settled } from '../../helpers/manual-time.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const CONFIG = `
version: 1
classes:
  small: { memory: 64MiB, file_handles: 100 }
`;

function config(): Config {
  const loaded = loadConfig({
    path: '/limits.yaml',
    text: CONFIG,
    host: { memoryBytes: 8 * 1024 ** 3, cores: 4 },
    env: {},
  });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value;
}

interface Door extends Stand {
  readonly directory: string;
  /** A launcher with these words comes to the door. @returns what it was told */
  come(
    words: readonly string[],
    more?: Partial<LaunchRequest> & { readonly lineage?: readonly Ancestor[] },
  ): Promise<readonly string[]>;
}

function door(t: Test): Door {
  const scene = stand(t);
  const directory = temporaryDirectory(t);
  const refusals: object[] = [];
  const open = createLaunchDoor({
    registry: scene.registry,
    config,
    facts: scene.processes,
    log: { ...scene.ports.log, info: (data) => void refusals.push(data) },
    directory,
  });
  return Object.assign(scene, {
    directory,
    async come(words, { lineage, ...more } = {}) {
      const launcher = scene.launcher();
      if (lineage !== undefined) scene.processes.lineages.set(launcher.pid, lineage);
      let told: readonly string[] = [];
      open({
        launcher: launcher.identity,
        verb: 'run',
        pipes: null,
        words,
        cwd: '/usr',
        environment: ['PATH=/usr/bin:/bin', 'SECRET=hush'],
        answer(lines) {
          told = lines;
          return true;
        },
        ...more,
      });
      await settled();
      return told;
    },
  } satisfies Omit<Door, keyof Stand>);
}

t.test('the words of a launcher become a run, and it is told how to become the tool', async (t) => {
  const d = door(t);
  const told = await d.come([
    '--name',
    'my tool',
    '--class',
    'small',
    '--tasks',
    '9',
    '--context',
    'chat',
    '--grace',
    '7s',
    '--',
    'sh',
    '-c',
    'exit 0',
  ]);
  const [run] = d.registry.tool('my tool').runs;
  t.match(run, {
    mode: 'direct',
    context: 'chat',
    cwd: '/usr',
    command: ['sh', '-c', 'exit 0'],
    detached: false,
    state: 'running',
  });
  t.same(told, [
    'skip 12',
    `set TMPDIR=/temp-root/${run?.id}`,
    `set GOVERNOR_RUN=${run?.id}`,
    'set GOVERNOR_TOOL=my tool',
    `set MEMORY_PRESSURE_WATCH=/temp-root/${run?.id}.sock`,
    // 150 % of the class's 100, where the launcher has 1024 and 4096.
    'soft 150',
    'hard 150',
    'go',
  ]);
  const tool = d.registry.live.get('my tool');
  t.match(tool?.definition, {
    origin: 'run',
    class: 'small',
    graceMs: 7_000,
    limits: {
      memory: { limit: 64 * 1024 ** 2, source: { from: 'class' } },
      tasks: { limit: 9, source: { from: 'flag' } },
    },
  });
  t.equal(d.points.log.includes('attached'), true);
});

t.test('without flags: a name from the command, no dashes needed', async (t) => {
  const d = door(t);
  t.equal((await d.come(['sleep', '60'])).at(-1), 'go');
  t.same(
    d.registry.tools().map(({ name }) => name),
    ['sleep'],
  );
});

t.test('its clients are its ancestors, unless it is detached', async (t) => {
  const d = door(t);
  const lineage = [
    { pid: 50, startTicks: 500, session: 40, terminal: true },
    { pid: 40, startTicks: 400, session: 40, terminal: true },
  ];
  await d.come(['--name', 'attached', '--', 'true'], { lineage });
  await d.come(['--name', 'detached', '--detach', '--', 'true'], { lineage });
  t.same(
    [...d.ledger.values()].map(({ tool, clients, detached }) => [tool, clients, detached]),
    [
      ['attached', [{ pid: 50, startTicks: 500 }], false],
      ['detached', [], true],
    ],
  );
});

t.test('an environment that a shell could not pass on goes by a private file', async (t) => {
  const d = door(t);
  const told = await d.come(['true'], { environment: ['PATH=/usr/bin:/bin', 'a.b=c', 'TMPDIR=/elsewhere'] });
  const [run] = d.registry.tool('true').runs;
  const file = join(d.directory, `environment-${run?.id}`);
  t.ok(told.includes(`environment ${file}`));
  t.equal(statSync(file).mode & 0o777, 0o600);
  const entries = readFileSync(file, 'utf8').split('\0');
  t.ok(
    entries.includes('a.b=c') &&
      entries.includes(`TMPDIR=/temp-root/${run?.id}`) &&
      !entries.includes('TMPDIR=/elsewhere'),
  );
  await d.registry.deactivate('true');
  t.throws(() => statSync(file), { code: 'ENOENT' }, 'gone with its run at the latest');
});

t.test('the person hears when nothing is governed', async (t) => {
  const d = door(t);
  // The command has to exist here: env, as people write it.
  const told = await d.come(['--name', 'remote', '--', 'env', 'ssh', 'host', 'server']);
  t.match(
    told.find((line) => line.startsWith('say ')),
    /^say remote: the process runs in another host; limit it there: /,
  );
  t.notOk(told.some((line) => line.startsWith('hard ')));
});

t.test('refusals: one line, the exit code of the contract, nothing made', async (t) => {
  const d = door(t);
  const file = join(d.directory, 'not-executable');
  (await import('node:fs')).writeFileSync(file, '#!/bin/sh\n', { mode: 0o600 });
  const cases: readonly (readonly [words: readonly string[], line: RegExp])[] = [
    [[], /^die 125 there is no command to run \(write: governor run/],
    [['--', ''], /^die 125 there is no command to run/],
    [['--memori', '1GiB', '--', 'true'], /^die 125 --memori: .*did you mean --memory\?/],
    [['--memory', '512M', '--', 'true'], /^die 125 --memory: .*512MiB/],
    [['--memory', '512M', '--tasks', '0', '--', 'true'], /^die 125 --memory: .*; --tasks: /],
    [['--class', 'huge', '--', 'true'], /^die 125 .*huge/],
    [['--name', 'a/b', '--', 'true'], /^die 125 --name: /],
    [['governor-test-no-such-command'], /^die 127 governor-test-no-such-command: command not found$/],
    [[file], /^die 126 cannot run .*permission denied$/],
    [[d.directory], /^die 126 cannot run .*is a directory$/],
  ];
  for (const [words, line] of cases) {
    const told = await d.come(words);
    t.equal(told.length, 1);
    t.match(told[0], line, words.join(' '));
    t.notMatch(told[0], /\n/);
  }
  t.equal(d.trees.length, 0);
  t.same(d.registry.tools(), []);
});

t.test('with --json a refusal is the document of the API, and the exit code', async (t) => {
  const d = door(t);
  const cases: readonly (readonly [words: readonly string[], exit: number, code: string, title: string])[] = [
    [['--json', '--memory', '5M', '--', 'true'], 125, 'invalid_request', 'The request is not valid'],
    [['--memori=5M', '--json', 'true'], 125, 'invalid_request', 'The request is not valid'],
    [['--name', 'a', '--json', '--', 'governor-test-nothing'], 127, 'command_not_found', 'The command was not found'],
    [['--json', d.directory], 126, 'command_not_executable', 'The command cannot be run'],
  ];
  for (const [words, exit, code, title] of cases) {
    const [line = '', ...more] = await d.come(words);
    t.same(more, []);
    t.ok(line.startsWith(`problem ${exit} {`), words.join(' '));
    t.match(JSON.parse(line.slice(12)), { type: `/docs/errors#${code}`, code, title, detail: String, problems: [] });
  }
  const [limit = ''] = await d.come(['--json', '--memory', '5M', '--', 'true']);
  t.match(JSON.parse(limit.slice(12)), { problems: [{ pointer: '--memory', hint: 'write 5MiB or 5MB' }] });
  t.match(
    await d.come(['governor-test-nothing', '--json']),
    [/^die 127 /],
    'what follows the command belongs to the tool',
  );
});

t.test('a failure on the way is a refusal too', async (t) => {
  const d = door(t);
  d.points.fail('backend.create', new Error('ENOSPC'), 1);
  t.same(await d.come(['true']), ['die 125 true could not be contained: ENOSPC']);
  t.equal(d.ledger.size, 0);
  await d.registry.close('all');
  t.match(await d.come(['true']), ['die 125 the daemon is shutting down']);
});

t.test('a launcher that does not hear its answer any more leaves nothing', async (t) => {
  const d = door(t);
  await d.come(['true'], { answer: () => false });
  t.same(d.registry.tools(), []);
  t.equal(d.ledger.size, 0);
  t.equal(d.tempDirs.size, 0);
});

t.test('no value of the environment is kept or told', async (t) => {
  const d = door(t);
  const told = await d.come(['true']);
  t.notMatch(JSON.stringify([told, d.records, [...d.ledger.values()], d.registry.tools()]), /hush/);
});
