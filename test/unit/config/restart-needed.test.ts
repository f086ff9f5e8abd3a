import t from 'tap';
import { daemonConfig } from '../../../config/config.ts';
import type { Config } from '../../../config/config.ts';
import type { DaemonFields } from '../../../config/daemon-schema.ts';
import { loadConfig } from '../../../config/load.ts';
import { restartNeeded, sharedLimitsNote } from '../../../config/restart-needed.ts';

const config = (fields?: DaemonFields) => daemonConfig(fields, null, (path) => path);

t.test('what a running daemon cannot take up is said by the key of the file', async (t) => {
  const before = config();
  t.same(restartNeeded(before, config()), []);
  t.same(restartNeeded(before, config({ auth: { api: 'none' }, dry_run: true })), [], 'these hold without');
  const after = config({
    listen: { host: '127.0.0.1', port: 1 },
    cache: { ttl: 60_000 },
    backend: 'procfs',
    sample_interval: 500,
    audit: { keep: 3 },
    history: 'off',
    log_level: 'debug',
    temp_root: '/var/tmp/governor',
  });
  t.same(
    restartNeeded(before, after).map((note) => note.split(':')[0]),
    ['listen', 'cache', 'backend', 'sample_interval', 'audit', 'history', 'log_level', 'temp_root'].map(
      (key) => `daemon.${key}`,
    ),
  );
});

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
