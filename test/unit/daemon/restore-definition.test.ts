import t from 'tap';
import { DEFAULT_LADDER } from '../../../config/defaults.ts';
import { loadConfig } from '../../../config/load.ts';
import { restoreDefinition } from '../../../daemon/restore-definition.ts';
import type { LedgerEntry } from '../../../lib/process/ledger.ts';
import { fakeDefinition } from '../../helpers/fake-views.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

const loaded = loadConfig({
  path: '/limits.yaml',
  text: 'version: 1\ntools:\n  listed: { command: node, args: [new.js] }\n',
  host: { memoryBytes: 8 * 1024 ** 3, cores: 4 },
  env: {},
});
if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
const config = loaded.value;

/** As it comes back from the disk. */
function entry(overrides: Partial<LedgerEntry>): LedgerEntry {
  const definition = fakeDefinition(overrides.tool ?? 'listed', { origin: 'run', args: ['old.js'], autostart: true });
  const whole = {
    version: 1,
    runId: 'abcdefghij',
    tool: 'listed',
    bootId: 'boot',
    mode: 'direct',
    step: 'running',
    startedWallMs: 1,
    leader: null,
    clients: [],
    detached: false,
    context: null,
    tempDir: '/tmp/x/abcdefghij',
    tempRoot: '/tmp/x',
    containment: null,
    definition,
    command: ['node'],
    cwd: '/',
    ...overrides,
  };
  return JSON.parse(JSON.stringify(whole)) as LedgerEntry;
}

t.test("a managed run goes by today's entry of the file", async (t) => {
  const restored = restoreDefinition(entry({ mode: 'managed' }), config);
  t.match(restored, { name: 'listed', args: ['new.js'], origin: 'file' });
});

t.test('a direct run goes by what its client gave it, also under the name of an entry', async (t) => {
  const restored = restoreDefinition(entry({ mode: 'direct' }), config);
  t.match(restored, {
    name: 'listed',
    args: ['old.js'],
    origin: 'run',
    autostart: false,
    limits: { memory: { limit: 268_435_456 } },
  });
});

t.test('a managed run whose entry is gone goes by what the ledger kept', async (t) => {
  t.match(restoreDefinition(entry({ mode: 'managed', tool: 'gone' }), config), {
    name: 'gone',
    args: ['old.js'],
    autostart: false,
  });
});

t.test('settings that an older daemon did not know come from today', async (t) => {
  const { ladder, ...old } = fakeDefinition('listed');
  const { quietMs, ...known } = { ...ladder, quietMs: 1, exitMargin: 0.07 };
  const restored = restoreDefinition(entry({ definition: { ...old, ladder: known } }), config);
  t.equal(restored.ladder.quietMs, DEFAULT_LADDER.quietMs);
  t.equal(restored.ladder.exitMargin, 0.07, 'what it did know is kept');
  t.match(restoreDefinition(entry({ definition: old }), config).ladder, DEFAULT_LADDER);
  t.equal(quietMs, 1);
});

t.test('what is no definition is refused', async (t) => {
  for (const definition of [null, 'text', 7, [], {}, { name: 'x' }, { name: 'x', limits: {}, recovery: {} }]) {
    t.throws(
      () => restoreDefinition(entry({ definition }), config),
      isGovernorError('internal'),
      JSON.stringify(definition),
    );
  }
});
