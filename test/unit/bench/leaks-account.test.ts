/** Whether a program is what its family says is decided without the detector. */

import t from 'tap';
import { outsideThePoint } from '../../bench/leaks/account.ts';
import type { Account, KernelReading } from '../../bench/leaks/account.ts';
import { SLOW_PACE } from '../../bench/leaks/slow-programs.ts';

const MIB = 2 ** 20;
const own = { live: 5 * MIB, anonymous: 8 * MIB, file_handles: 18, sockets: 2 };
const kernel: KernelReading = { file_handles: 18, sockets: 2, tasks: 0, temp_storage: 0 };
const quiet: Account = {
  atMs: 540_000,
  held: {},
  floors: {},
  before: own,
  after: own,
  floating: 0,
  collectedEachMs: 480_000,
};

/** Sixteen eighths that grow by so much a window from the warm-up on. */
const rising = (perWindow: number): readonly number[] =>
  Array.from({ length: 16 }, (_, at) => (perWindow * (at + 2)) / 8);

/** Holds what it took from its start on: two windows and a quarter. */
function leaking(perWindow: number): Account {
  const held = 2.25 * perWindow;
  return {
    ...quiet,
    held: { memory: held },
    floors: { memory: rising(perWindow) },
    after: { ...own, live: own.live + held },
  };
}

const memory = { leaks: 'memory', rate: 1 } as const;
const benign = { leaks: null, rate: 0 } as const;

t.test('a leak grows at its rate, in both windows', async (t) => {
  t.same(outsideThePoint(memory, leaking(4 * MIB), kernel, SLOW_PACE), []);
  t.match(outsideThePoint(memory, leaking(3 * MIB), kernel, SLOW_PACE), [/grows less than its rate/]);
  t.match(outsideThePoint({ ...memory, rate: 2 }, leaking(4 * MIB), kernel, SLOW_PACE), [/less than its rate/]);
  const stops = { ...leaking(4 * MIB), floors: { memory: rising(4 * MIB).map((value) => Math.min(value, 5 * MIB)) } };
  t.match(outsideThePoint(memory, stops, kernel, SLOW_PACE), [/grows less than its rate/]);
});

t.test('an account that V8 or the kernel does not confirm is none', async (t) => {
  const account = leaking(8 * MIB);
  t.match(outsideThePoint(memory, { ...account, after: own }, kernel, SLOW_PACE), [/by its account, 0 by V8/]);
  const files: Account = { ...quiet, held: { file_handles: 27 }, floors: { file_handles: rising(12) } };
  const leaks = { leaks: 'file_handles', rate: 1 } as const;
  t.match(outsideThePoint(leaks, files, kernel, SLOW_PACE), [/file_handles: holds 27 by its account, 0/]);
  t.same(outsideThePoint(leaks, files, { ...kernel, file_handles: 45 }, SLOW_PACE), []);
});

t.test('benign growth has ended half a window after the warm-up', async (t) => {
  const fills = (full: number): Account => ({
    ...quiet,
    held: { memory: full },
    floors: { memory: rising(8 * MIB).map((value) => Math.min(value, full)) },
    after: { ...own, live: own.live + full },
  });
  t.same(outsideThePoint(benign, fills(6 * MIB), kernel, SLOW_PACE), []);
  t.match(outsideThePoint(benign, fills(18 * MIB), kernel, SLOW_PACE), [/goes on growing/]);
});

t.test('what comes and goes within a quarter of a window has a floor that stays', async (t) => {
  const saw: Account = {
    ...quiet,
    held: { temp_storage: 0 },
    floors: { temp_storage: Array.from({ length: 16 }, (_, at) => (at % 2) * 30 * MIB) },
  };
  t.same(outsideThePoint(benign, saw, kernel, SLOW_PACE), []);
});

t.test('memory that nobody tells of, and a collector that hardly ever runs, lie outside', async (t) => {
  const grown = { ...quiet, after: { ...own, live: own.live + 5 * MIB } };
  t.match(outsideThePoint(benign, grown, kernel, SLOW_PACE), [/memory that lives has grown/]);
  const littered = { ...quiet, floating: 20 * MIB };
  t.match(outsideThePoint(benign, littered, kernel, SLOW_PACE), [/V8 collects only each 480 s/]);
  t.same(outsideThePoint(benign, { ...littered, collectedEachMs: 30_000 }, kernel, SLOW_PACE), []);
});

t.test('no account, or none of what leaks, is none', async (t) => {
  t.same(outsideThePoint(memory, null, kernel, SLOW_PACE), ['it told no account']);
  t.match(outsideThePoint(memory, quiet, kernel, SLOW_PACE), [/no account of memory/]);
  const gap = { ...leaking(4 * MIB), floors: { memory: rising(4 * MIB).slice(0, 13) } };
  t.match(outsideThePoint(memory, gap, kernel, SLOW_PACE), [/grows less than its rate/]);
});
