import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { PROFILES_MAX, ProfileStore } from '../../../lib/observe/profile-store.ts';
import { filledProfile } from '../../helpers/filled-profile.ts';
import { temporaryDirectory } from '../../helpers/temp-directory.ts';

const MIB = 1024 ** 2;
const STATE = filledProfile({ hours: 2, memory: 100 * MIB, tasks: 7 }).state();

interface Stand {
  readonly directory: string;
  readonly said: string[];
  open(): ProfileStore;
  files(): readonly string[];
}

function stand(t: Test): Stand {
  const directory = join(temporaryDirectory(t), 'profiles');
  const said: string[] = [];
  const say = (level: string) => (data: object, message: string) =>
    void said.push(`${level} ${message}${'file' in data ? ` ${String(data.file)}` : ''}`);
  const log = { info: say('info'), warn: say('warn'), error: say('error') };
  return { directory, said, open: () => new ProfileStore(directory, log), files: () => readdirSync(directory).sort() };
}

t.test('what is written is read again, by another daemon too, whatever the tool is called', async (t) => {
  const scene = stand(t);
  const store = scene.open();
  for (const tool of ['plain', 'a b "c"', 'naïve', '..'.repeat(30)]) {
    t.equal(await store.write(tool, STATE), true);
    const again = await scene.open().read(tool);
    t.equal(again?.observedMs, STATE.observedMs, tool);
    t.equal(again?.series.tasks.samples, STATE.series.tasks?.samples);
  }
  t.equal(await store.read('other'), null);
  t.equal(scene.files().length, 4);
  for (const file of scene.files()) {
    t.match(file, /^[0-9a-f]{24}\.json$/);
    t.equal(statSync(join(scene.directory, file)).mode & 0o777, 0o600);
  }
  t.same(scene.said, []);
});

t.test('what was written before is read, when it is asked for at once', async (t) => {
  const store = stand(t).open();
  void store.write('tool', STATE);
  t.equal((await store.read('tool'))?.observedMs, STATE.observedMs);
});

t.test('damaged, cut off, of another tool, newer: set aside under a name that is told', async (t) => {
  const scene = stand(t);
  await scene.open().write('tool', STATE);
  const [name = ''] = scene.files();
  const file = join(scene.directory, name);
  const good = readFileSync(file, 'utf8');
  for (const [text, why] of [
    ['', 'is damaged'],
    ['null', 'is damaged'],
    [good.slice(0, good.length / 2), 'is damaged'],
    [good.replace('"tool":"tool"', '"tool":"another"'), 'is damaged'],
    [good.replace(/"weights":\[[^\]]*\]/, '"weights":[-1]'), 'is damaged'],
    [good.replace('"format":1', '"format":2'), 'is of a newer version of Governor (format 2)'],
    [`${good}${' '.repeat(70_000)}`, 'is larger than any profile'],
  ] as const) {
    for (const left of scene.files()) rmSync(join(scene.directory, left));
    scene.said.length = 0;
    writeFileSync(file, text);
    const store = scene.open();
    t.equal(await store.read('tool'), null, why);
    const [aside = ''] = scene.files();
    t.match(aside, new RegExp(`^${name}\\.set-aside-\\d+$`));
    t.equal(readFileSync(join(scene.directory, aside), 'utf8'), text, 'as it was');
    t.same(scene.said, [
      `warn a usage profile ${why}: set aside under this name, and begun anew ${join(scene.directory, aside)}`,
    ]);
    t.equal(await store.write('tool', STATE), true, 'and goes on');
    t.ok(await store.read('tool'));
  }
});

t.test('what is there and cannot be read is set aside too, and no other tool loses anything', async (t) => {
  // Also for root, which may read any file.
  const unreadable: Readonly<Record<string, (file: string) => void>> = {
    EISDIR: (file) => mkdirSync(file),
    ELOOP: (file) => symlinkSync(file, file),
  };
  const other = filledProfile({ hours: 5, memory: 30 * MIB }).state();
  for (const [code, put] of Object.entries(unreadable)) {
    const scene = stand(t);
    await scene.open().write('tool', STATE);
    const [name = ''] = scene.files();
    await scene.open().write('other', other);
    rmSync(join(scene.directory, name));
    put(join(scene.directory, name));
    const store = scene.open();
    t.equal(await store.read('tool'), null, code);
    const aside = scene.files().find((file) => file.startsWith(`${name}.set-aside-`)) ?? '';
    t.same(scene.said, [
      `warn a usage profile cannot be read (${code}): set aside under this name, and begun anew ${join(scene.directory, aside)}`,
    ]);
    t.notOk(lstatSync(join(scene.directory, aside)).isFile(), 'as it was');
    t.equal(await store.write('tool', STATE), true, 'and goes on');
    t.equal((await scene.open().read('tool'))?.observedMs, STATE.observedMs);
    t.equal((await scene.open().read('other'))?.observedMs, other.observedMs, 'what is known of another tool stays');
    t.equal(scene.said.length, 1);
  }
});

t.test('what cannot be written is said once, harms nothing, and is tried again', async (t) => {
  const scene = stand(t);
  // A file where the directory is to be: the same for root as for everybody.
  writeFileSync(scene.directory, '');
  const store = scene.open();
  t.equal(await store.write('tool', STATE), false);
  t.equal(await store.write('tool', STATE), false);
  t.equal(await store.read('tool'), null);
  const errors = (): readonly string[] => scene.said.filter((line) => line.startsWith('error'));
  t.same(errors(), ['error usage profiles cannot be written: what is learnt now is kept in memory only']);
  rmSync(scene.directory);
  mkdirSync(scene.directory);
  t.equal(await store.write('tool', STATE), true);
  t.equal(scene.said.at(-1), 'info usage profiles are written again');
});

t.test(
  'a full disk leaves no half of a file',
  { skip: !statSync('/dev/full', { throwIfNoEntry: false }) },
  async (t) => {
    const scene = stand(t);
    const store = scene.open();
    await store.write('tool', STATE);
    const [name = ''] = scene.files();
    symlinkSync('/dev/full', join(scene.directory, `${name}.new`));
    t.equal(await store.write('tool', filledProfile({ hours: 3, memory: MIB }).state()), false);
    t.same(scene.files(), [name], 'what was begun is gone');
    t.equal((await store.read('tool'))?.observedMs, STATE.observedMs, 'what was there before counts');
  },
);

t.test('bounded: the files that were not written for longest go, and what was set aside as well', async (t) => {
  const scene = stand(t);
  mkdirSync(scene.directory, { recursive: true });
  const nameOf = (index: number): string => `${index.toString(16).padStart(24, '0')}.json`;
  for (let index = 0; index < PROFILES_MAX + 3; index++) {
    writeFileSync(join(scene.directory, nameOf(index)), '');
    utimesSync(join(scene.directory, nameOf(index)), index, index);
  }
  for (let index = 0; index < 25; index++) {
    const aside = join(scene.directory, `${nameOf(index)}.set-aside-${index}`);
    writeFileSync(aside, '');
    utimesSync(aside, index, index);
  }
  writeFileSync(join(scene.directory, `${nameOf(9)}.new`), 'half');
  writeFileSync(join(scene.directory, 'notes.txt'), 'of a person');
  await scene.open().settled();
  const files = scene.files();
  t.equal(files.filter((name) => name.endsWith('.json')).length, PROFILES_MAX);
  t.notOk(files.includes(nameOf(2)));
  t.ok(files.includes(nameOf(3)));
  t.equal(files.filter((name) => name.includes('set-aside')).length, 20);
  t.notOk(files.some((name) => name.endsWith('.new')));
  t.ok(files.includes('notes.txt'));
});
