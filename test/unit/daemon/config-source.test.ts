import t, { type Test } from 'tap';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveLocations } from '../../../daemon/cli/locations.ts';
import { createConfigSource, type ConfigSource } from '../../../daemon/config-source.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const ONE = 'version: 1\ntools:\n  one: { command: node }\n';
const TWO = `${ONE}  two: { command: node }\n`;

function source(config: string | null, listen: string | null = null): ConfigSource {
  return createConfigSource(
    resolveLocations({ config, stateDir: '/state', listen }, { env: {}, cwd: '/', platform: process.platform }),
  );
}

const names = (config: { readonly tools: readonly { readonly name: string }[] }): readonly string[] =>
  config.tools.map(({ name }) => name);

function environment(t: Test, variables: Readonly<Record<string, string>>): void {
  const before = { HOME: process.env['HOME'], XDG_CONFIG_HOME: process.env['XDG_CONFIG_HOME'] };
  const set = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  set({ HOME: undefined, XDG_CONFIG_HOME: undefined, ...variables });
  t.teardown(() => set(before));
}

t.test('the file that was named, read again each time', async (t) => {
  const path = join(temporaryDirectory(t), 'limits.yaml');
  writeFileSync(path, ONE);
  const configs = source(path);
  t.same(names(configs.load()), ['one']);
  writeFileSync(path, TWO);
  const outcomes: (number | null)[] = [];
  const told = { onOutcome: (problems: readonly unknown[] | null) => void outcomes.push(problems?.length ?? null) };
  t.same(names(configs.reload(told)), ['one', 'two']);
  writeFileSync(path, `${ONE}  three: { comand: node }\n`);
  const wrong = { ...isGovernorError('invalid_config'), message: new RegExp(`^${path}:4:`) };
  t.throws(() => configs.reload(told), wrong);
  t.throws(() => configs.load(), wrong);
  t.same(outcomes, [null, 2], 'no command, and a word that is none');
});

t.test('every problem is told at once, one line each', async (t) => {
  const path = join(temporaryDirectory(t), 'limits.yaml');
  writeFileSync(path, 'version: 1\ntools:\n  one: { command: node, limits: { memory: 512M, tasks: 0 } }\n');
  try {
    source(path).load();
    t.fail('it was taken');
  } catch (error) {
    t.match(error, isGovernorError('invalid_config'));
    const lines = (error as Error).message.split('\n');
    t.equal(lines.length, 2);
    t.ok(lines.every((line) => line.startsWith(`${path}:3:`)));
    t.equal((error as { problems: readonly unknown[] }).problems.length, 2);
  }
});

t.test('--listen is stronger than the file', async (t) => {
  const path = join(temporaryDirectory(t), 'limits.yaml');
  writeFileSync(path, 'version: 1\ndaemon: { listen: "127.0.0.1:1" }\n');
  t.match(source(path).load().daemon.listen, { port: 1 });
  t.match(source(path, '127.0.0.1:2').load().daemon.listen, { port: 2 });
  t.throws(() => source(path, 'nowhere').load(), isGovernorError('invalid_config'));
});

t.test("none named: the user's own, where there is one", async (t) => {
  const root = temporaryDirectory(t);
  const at = (folder: string, text: string): void => {
    mkdirSync(join(root, folder, 'governor'), { recursive: true });
    writeFileSync(join(root, folder, 'governor/limits.yaml'), text);
  };
  at('.config', ONE);
  at('xdg', TWO);
  const cases: readonly (readonly [variables: Readonly<Record<string, string>>, tools: readonly string[]])[] = [
    [{ HOME: root }, ['one']],
    [{ HOME: root, XDG_CONFIG_HOME: join(root, 'xdg') }, ['one', 'two']],
    [{ HOME: root, XDG_CONFIG_HOME: '' }, ['one']],
    [{ HOME: root, XDG_CONFIG_HOME: 'xdg' }, ['one']],
    [{ HOME: join(root, 'nobody') }, []],
    [{ HOME: '' }, []],
    [{}, []],
  ];
  for (const [variables, tools] of cases) {
    environment(t, variables);
    t.same(names(source(null).load()), tools, JSON.stringify(variables));
  }
  environment(t, {});
  t.equal(
    source(null).watch(() => undefined),
    null,
    'nothing to watch',
  );
});

t.test('a file that is named must be there', async (t) => {
  t.throws(() => source(join(temporaryDirectory(t), 'missing.yaml')).load(), isGovernorError('invalid_config'));
});

t.test('a change is told, a valid one and another', async (t) => {
  const path = join(temporaryDirectory(t), 'limits.yaml');
  writeFileSync(path, ONE);
  let changes = 0;
  const watcher = source(path).watch(() => void (changes += 1));
  t.teardown(() => watcher?.close());
  writeFileSync(path, TWO);
  await waitFor('the change', () => changes === 1);
  writeFileSync(path, 'nonsense: [');
  await waitFor('the second change', () => changes === 2);
});
