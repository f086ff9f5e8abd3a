import t from 'tap';
import { Accounts } from '../../../../lib/mcp/calls/account.ts';
import type { CallRecord } from '../../../../lib/mcp/calls/account.ts';
import { CpuShares } from '../../../../lib/mcp/calls/cpu-shares.ts';

t.test('a call alone has what the process used while it was open', (t) => {
  const shares = new CpuShares();
  const first = shares.begin(100);
  shares.end(first, 130);
  t.strictSame(first, { cpuTimeMs: 30, isShared: false });
  const second = shares.begin(500);
  shares.end(second, 510);
  t.strictSame(second, { cpuTimeMs: 10, isShared: false }, 'what it used between calls is nobody’s');
  t.ok(shares.isEmpty);
  t.end();
});

t.test('calls that overlap split what was used meanwhile, and say so', (t) => {
  const shares = new CpuShares();
  const long = shares.begin(0);
  const short = shares.begin(10);
  shares.end(short, 30);
  shares.end(long, 35);
  t.strictSame(long, { cpuTimeMs: 10 + 10 + 5, isShared: true });
  t.strictSame(short, { cpuTimeMs: 10, isShared: true });
  t.end();
});

t.test('nothing is charged twice, and nothing is lost, whatever the order', (t) => {
  const shares = new CpuShares();
  const calls = [shares.begin(0), shares.begin(7), shares.begin(20)];
  shares.end(calls[1]!, 50);
  const last = shares.begin(50);
  shares.end(calls[0]!, 80);
  shares.end(last, 81);
  shares.end(calls[2]!, 100);
  const sum = [...calls, last].reduce((total, { cpuTimeMs }) => total + (cpuTimeMs ?? 0), 0);
  t.ok(Math.abs(sum - 100) < 1e-9, `${sum}`);
  t.end();
});

t.test('a reading that is missing makes no number', (t) => {
  const cases: readonly (readonly [number | null, number | null])[] = [
    [null, 10],
    [10, null],
    [null, null],
  ];
  for (const [before, after] of cases) {
    const shares = new CpuShares();
    const call = shares.begin(before);
    shares.end(call, after);
    t.equal(call.cpuTimeMs, null, `${before} → ${after}`);
  }
  const shares = new CpuShares();
  const call = shares.begin(5);
  const other = shares.begin(null);
  shares.end(other, 20);
  shares.end(call, 30);
  t.equal(call.cpuTimeMs, null, 'a part is missing from the sum');
  t.end();
});

t.test('a counter that falls (another process) charges nothing', (t) => {
  const shares = new CpuShares();
  const call = shares.begin(100);
  shares.end(call, 40);
  t.equal(call.cpuTimeMs, 0);
  t.end();
});

const RECORD: CallRecord = {
  tool: 'echo',
  context: 'a',
  run: 'r',
  method: 'tools/call',
  name: 'say',
  outcome: 'ok',
  durationMs: 5,
  cpuTimeMs: 2,
  isShared: false,
};

t.test('accounts by context', (t) => {
  const accounts = new Accounts(() => 0);
  accounts.add(RECORD);
  accounts.add({ ...RECORD, outcome: 'stopped', cpuTimeMs: null });
  accounts.add({ ...RECORD, cpuTimeMs: 4, isShared: true });
  accounts.add({ ...RECORD, context: 'b' });
  t.strictSame(accounts.of('a'), {
    context: 'a',
    calls: 3,
    failures: 1,
    durationMs: 15,
    cpuTimeMs: 6,
    sharedCpuTimeMs: 4,
    unmeasured: 1,
  });
  t.strictSame(
    accounts.all().map(({ context }) => context),
    ['b', 'a'],
  );
  t.equal(accounts.of('c'), null);
  t.end();
});

t.test('accounts are bounded: those that were quiet longest go first', (t) => {
  const accounts = new Accounts(() => 0);
  for (let index = 0; index < 1_000; index++) accounts.add({ ...RECORD, context: `c${index}` });
  accounts.add({ ...RECORD, context: 'c0' });
  accounts.add({ ...RECORD, context: 'new' });
  t.equal(accounts.all().length, 1_000);
  t.equal(accounts.of('c1'), null);
  t.equal(accounts.of('c0')?.calls, 2);
  t.end();
});

t.test('a call that was open when its context ended does not begin it anew', async (t) => {
  let nowMs = 1_000;
  const accounts = new Accounts(() => nowMs);
  accounts.add({ ...RECORD, durationMs: 10 });
  t.ok(accounts.forget(RECORD.context));
  nowMs += 50;
  accounts.add({ ...RECORD, durationMs: 60 });
  t.equal(accounts.of(RECORD.context), null, 'it began before');
  accounts.add({ ...RECORD, durationMs: 40 });
  t.equal(accounts.of(RECORD.context)?.calls, 1, 'it began after: somebody has this name anew');
});
