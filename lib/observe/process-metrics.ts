/**
 * Metrics of the daemon's own process: those that prom-client registers by default, but for two groups. Three are gauges
 * named `_total`, which promtool rejects. And the event loop's delay histogram needs a timer every 10 ms, which alone
 * would cost the daemon a good part of its CPU aim.
 */

import type { Registry } from 'prom-client';
import Counter from 'prom-client/lib/counter.js';
import gc from 'prom-client/lib/metrics/gc.js';
import heapSizeAndUsed from 'prom-client/lib/metrics/heapSizeAndUsed.js';
import heapSpacesSizeAndUsed from 'prom-client/lib/metrics/heapSpacesSizeAndUsed.js';
import osMemoryHeap from 'prom-client/lib/metrics/osMemoryHeap.js';
import processMaxFileDescriptors from 'prom-client/lib/metrics/processMaxFileDescriptors.js';
import processOpenFileDescriptors from 'prom-client/lib/metrics/processOpenFileDescriptors.js';
import processStartTime from 'prom-client/lib/metrics/processStartTime.js';
import version from 'prom-client/lib/metrics/version.js';

const PARTS = [
  processStartTime,
  osMemoryHeap,
  processOpenFileDescriptors,
  processMaxFileDescriptors,
  heapSizeAndUsed,
  heapSpacesSizeAndUsed,
  version,
  gc,
];

export function registerProcessMetrics(registry: Registry): void {
  registerCpuTime(registry);
  for (const register of PARTS) register(registry);
}

/** As prom-client's own, which would bring OpenTelemetry along. */
function registerCpuTime(registry: Registry): void {
  const registers = [registry];
  let before = { user: 0, system: 0 };
  const user = new Counter({
    name: 'process_cpu_user_seconds_total',
    help: 'Total user CPU time spent in seconds.',
    registers,
    // Of one reading for all three.
    collect() {
      const now = process.cpuUsage();
      const [userSeconds, systemSeconds] = [(now.user - before.user) / 1e6, (now.system - before.system) / 1e6];
      before = now;
      user.inc(userSeconds);
      system.inc(systemSeconds);
      both.inc(userSeconds + systemSeconds);
    },
  });
  const system = new Counter({
    name: 'process_cpu_system_seconds_total',
    help: 'Total system CPU time spent in seconds.',
    registers,
  });
  const both = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Total user and system CPU time spent in seconds.',
    registers,
  });
}
