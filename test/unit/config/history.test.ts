import t from 'tap';
import { loadConfig } from '../../../config/load.ts';
import type { Config } from '../../../config/config.ts';
import { formatProblem } from '../../../lib/core/errors.ts';

const history = (text: string): Config['daemon']['history'] => {
  const host = { memoryBytes: 24 * 1024 ** 3, cores: 4 };
  const loaded = loadConfig({ path: '/limits.yaml', text: `version: 1\ndaemon: { history: ${text} }`, host, env: {} });
  if (!loaded.ok) throw new Error(loaded.error.map(formatProblem).join('\n'));
  return loaded.value.daemon.history;
};

t.test('how long each step is kept, and how much room there is', async (t) => {
  const usual = { keepS: { '1s': 600, '10s': 21_600, '1m': 1_209_600 }, maxBytes: 1024 ** 3 };
  t.same(history('{}'), usual);
  t.same(history('{ keep: { 10s: 1h } }'), { ...usual, keepS: { ...usual.keepS, '10s': 3_600 } });
  t.same(history('{ keep: { 1s: 1m, 10s: 2m, 1m: 30d }, max_size: 64MiB }'), {
    keepS: { '1s': 60, '10s': 120, '1m': 2_592_000 },
    maxBytes: 64 * 1024 ** 2,
  });
  t.equal(history('off'), null);
});

t.test('a step that is kept for a shorter time than a finer one is refused', async (t) => {
  t.throws(() => history('{ keep: { 1s: 7h } }'), /values of 10s are kept for a shorter time than those of 1s/);
  t.throws(() => history('{ keep: { 1m: 1h } }'), /values of 1m are kept for a shorter time than those of 10s/);
  t.throws(() => history('{ max_size: 1MiB }'), /max_size/);
});
