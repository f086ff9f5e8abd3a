import t from 'tap';
import { countForLeaks } from '../../../daemon/leak-calls.ts';
import type { CallRecord } from '../../../lib/mcp/calls/account.ts';
import type { LeakWatch } from '../../../lib/supervisor/leak-watch.ts';

const call: CallRecord = {
  tool: 'tool',
  context: 'a',
  run: 'r1',
  method: 'tools/call',
  name: 'get-env',
  outcome: 'ok',
  durationMs: 1,
  cpuTimeMs: null,
  isShared: false,
};

function counted(record: Partial<CallRecord>): readonly string[] {
  const names: string[] = [];
  countForLeaks({ ...call, ...record }, {
    onCall: (run: string, name: string) => names.push(`${run} ${name}`),
  } as unknown as LeakWatch);
  return names;
}

t.test('tools and prompts by name, resources never by their URI', async (t) => {
  t.same(counted({}), ['r1 get-env']);
  t.same(counted({ method: 'prompts/get', name: 'hello' }), ['r1 hello']);
  t.same(counted({ method: 'resources/read', name: 'file:///home/secret' }), ['r1 resources/read']);
  t.same(counted({ name: null }), ['r1 tools/call']);
  t.same(counted({ outcome: 'tool_error' }), ['r1 get-env'], 'it may have kept something all the same');
});

t.test('what never came to the server leaks nothing', async (t) => {
  t.same(counted({ outcome: 'refused' }), []);
  t.same(counted({ run: null }), [], 'answered from what is kept');
});

t.test('names are bounded and clean', async (t) => {
  t.same(counted({ name: 'a\u0007b\n' }), ['r1 a b ']);
  t.equal(counted({ name: 'x'.repeat(1_000) })[0]?.length, 'r1 '.length + 64);
});

t.test('no half of a secret where a name is cut', async (t) => {
  const wrong: string[] = [];
  for (let before = 10; before <= 64; before++) {
    const [name = ''] = counted({ name: `${'x '.repeat(32).slice(0, before)} ghp_${'Zx9S'.repeat(9)}` });
    if (/Zx9|9S/.test(name)) wrong.push(name);
  }
  t.same(wrong, []);
});
