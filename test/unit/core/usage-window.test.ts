import t from 'tap';
import { CpuWindow } from '../../../lib/core/usage-window.ts';

t.test('a rate needs two points in time', async (t) => {
  const window = new CpuWindow();
  t.equal(window.add(1_000, 500), null);
  t.equal(window.add(1_000, 600), null, 'the same instant is no second one');
  t.equal(window.add(2_000, 1_000), 50);
});

t.test('over what there is at first, then over the window', async (t) => {
  const window = new CpuWindow(10_000);
  // Idle for ten seconds, then one core at 100 %.
  let cpuMs = 0;
  const rates: (number | null)[] = [];
  for (let second = 0; second <= 30; second++) {
    if (second > 10) cpuMs += 1_000;
    rates.push(window.add(second * 1_000, cpuMs));
  }
  t.equal(rates[0], null);
  t.equal(rates[10], 0);
  t.equal(rates[15], 50, 'half of the window was busy');
  t.equal(rates[20], 100);
  t.equal(rates[30], 100);
});

t.test('several cores', async (t) => {
  const window = new CpuWindow();
  window.add(0, 0);
  t.equal(window.add(1_000, 4_000), 400);
});

t.test('however fast it is fed, it spans the window and stays small', async (t) => {
  const window = new CpuWindow(10_000);
  let rate: number | null = null;
  for (let ms = 0; ms <= 60_000; ms += 10) rate = window.add(ms, ms / 4);
  t.ok(Math.abs((rate ?? 0) - 25) < 1e-9);
  // A burst of one second in the last ten must show as a tenth of it.
  const burst = new CpuWindow(10_000);
  let cpuMs = 0;
  for (let ms = 0; ms <= 20_000; ms += 10) {
    if (ms > 15_000 && ms <= 16_000) cpuMs += 10;
    rate = burst.add(ms, cpuMs);
  }
  t.ok(Math.abs((rate ?? 0) - 10) < 0.6, `${rate}`);
});

t.test('a counter that starts anew is a new history, never a negative rate', async (t) => {
  const window = new CpuWindow();
  window.add(0, 5_000);
  window.add(1_000, 6_000);
  t.equal(window.add(2_000, 10), null);
  t.equal(window.add(3_000, 510), 50);
});

t.test('a long gap: the rate over the gap', async (t) => {
  const window = new CpuWindow(10_000);
  window.add(0, 0);
  window.add(1_000, 1_000);
  t.ok(Math.abs((window.add(101_000, 11_000) ?? 0) - 10) < 1, 'not the 100 % of before');
});
