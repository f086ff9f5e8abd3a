/** Totals of the host: Node's own calls against /proc, and against systeminformation, which other platforms use. */

import { readFileSync } from 'node:fs';
import t from 'tap';
import { linuxMeasure, portableMeasure } from '../../../lib/os/host-totals.ts';

const onLinux = process.platform === 'linux' ? false : 'only on Linux';

t.test('memory is what /proc/meminfo says', { skip: onLinux }, async (t) => {
  const measured = await linuxMeasure()();
  t.equal(measured.memoryBytes, meminfo('MemTotal'));
  const available = meminfo('MemAvailable');
  t.ok(Math.abs(measured.memoryAvailableBytes - available) < measured.memoryBytes / 10, `near ${available}`);
});

t.test('the load is that since the last reading', { skip: onLinux }, async (t) => {
  const measure = linuxMeasure();
  // The kernel counts in ticks of 10 ms.
  for (const endMs = performance.now() + 300; performance.now() < endMs;);
  const { cpuPercent } = await measure();
  t.ok(cpuPercent > 0 && cpuPercent <= 100, `${cpuPercent} %, with one core kept busy`);
  t.equal((await measure()).cpuPercent >= 0, true, 'no time since then is no load, and not NaN');
});

t.test('both ways agree', { skip: onLinux }, async (t) => {
  const [own, other] = [await linuxMeasure()(), await portableMeasure()];
  t.equal(own.memoryBytes, other.memoryBytes);
  t.ok(Math.abs(own.memoryAvailableBytes - other.memoryAvailableBytes) < own.memoryBytes / 10);
  t.ok(other.cpuPercent >= 0 && other.cpuPercent <= 100);
});

function meminfo(name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024;
}
