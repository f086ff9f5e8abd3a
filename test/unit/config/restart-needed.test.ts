import t from 'tap';
import { daemonConfig } from '../../../config/config.ts';
import type { Config } from '../../../config/config.ts';
import type { DaemonFields } from '../../../config/daemon-schema.ts';
import { loadConfig } from '../../../config/load.ts';
import { cacheNote, restartNeeded, sharedLimitsNote } from '../../../config/restart-needed.ts';

const config = (fields?: DaemonFields) => daemonConfig(fields, null, (path) => path);

t.test('what a running daemon cannot take up is said by the key of the file', async (t) => {
  const before = config();
  t.same(restartNeeded(before, config()), []);
  t.same(
    restartNeeded(before, config({ auth: { api: 'none' }, dry_run: true, cache: 'off' })),
    [],
    'these hold without',
  );
  const after = config({
    listen: { host: '127.0.0.1', port: 1 },
    backend: 'procfs',
    sample_interval: 500,
    audit: { keep: 3 },
    history: 'off',
    log_level: 'debug',
    temp_root: '/var/tmp/governor',
  });
  t.same(
    restartNeeded(before, after).map((note) => note.split(':')[0]),
    ['listen', 'backend', 'sample_interval', 'audit', 'history', 'log_level', 'temp_root'].map(
      (key) => `daemon.${key}`,
    ),
  );
});

t.test(
  'the cache holds to new values at once, which is said without them: an address may have a password in it',
  async (t) => {
    const redis = (url: string): DaemonFields => ({ cache: { redis: { url } } });
    t.same(cacheNote(config(), config()), []);
    t.same(cacheNote(config(), config({ cache: { ttl: 900_000 } })), [], 'the default, written out');
    for (const after of [
      config({ cache: 'off' }),
      config({ cache: { ttl: 60_000 } }),
      config(redis('redis://:secret@a')),
    ])
      t.same(cacheNote(config(), after), ['daemon.cache: the new values hold from now on']);
    t.equal(cacheNote(config(redis('redis://a')), config(redis('redis://b'))).length, 1);
  },
);

t.test('limits that runs share hold at once, which is said where they differ', async (t) => {
  const read = (text: string): Config => {
    const loaded = loadConfig({ path: '/limits.yaml', text, host: { memoryBytes: 2 ** 34, cores: 2 }, env: {} });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
    return loaded.value;
  };
  const before = read('version: 1\ncontexts: { default: { tasks: 10 } }\n');
  t.same(
    sharedLimitsNote(before, read('version: 1\n\n\ncontexts: { default: { tasks: 10 } }\n')),
    [],
    'only the lines moved',
  );
  t.match(sharedLimitsNote(before, read('version: 1\ncontexts: { default: { tasks: 11 } }\n')), [/hold from now on/]);
  t.match(sharedLimitsNote(before, read('version: 1\n')), [/hold from now on/]);
});
