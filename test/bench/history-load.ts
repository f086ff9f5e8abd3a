/** The process that the bench of history looks at: readings of many runs, once a second, with or without history. */

import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Reading, Readings } from '../../lib/core/usage.ts';
import { History } from '../../lib/observe/history/history.ts';
import { USUAL } from '../helpers/history-stand.ts';

const [mode = 'off', count = '1000', folder = '.'] = process.argv.slice(2);
const history = new History({
  path: join(folder, 'history.db'),
  boot: 'bench',
  settings: USUAL,
  sampleIntervalMs: 1_000,
  clock: () => ({ monotonicMs: performance.now(), uptimeMs: uptime() * 1000, wallMs: Date.now() }),
  onNote: ({ message, fields }) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
});

const measured = (value: number): Reading & { value: number } => ({
  kind: 'measured',
  value,
  quality: 'cgroup',
  atMs: 0,
});
const runs = Array.from({ length: Number(count) }, (_, n) => {
  const memory = measured(2e8 + n * 4096);
  const cpu = measured(0);
  const runtime = measured(0);
  const readings: Readings = {
    memory,
    cpu,
    file_handles: measured(20 + (n % 50)),
    sockets: measured(n % 7),
    runtime,
    temp_storage: measured(n * 512),
    tasks: measured(1 + (n % 9)),
  };
  const last = {
    runId: `run${n}`,
    atMs: 0,
    stalled: false,
    readings,
    kernel: { oomKills: 0, cpuThrottledMs: 0, memoryStall: null },
  };
  return { memory, cpu, runtime, run: { id: `run${n}`, tool: `tool${n}`, context: null, last } };
});

let second = 0;
function pass(): void {
  const atMs = performance.now();
  for (const [n, { memory, cpu, runtime, run }] of runs.entries()) {
    // As in life: memory moves by pages, CPU by fractions, most of the rest stays.
    memory.value += ((second * 7919 + n * 104_729) % 64) * 4096 - 31 * 4096;
    cpu.value = ((second * 31 + n * 17) % 1_000) / 37;
    runtime.value = atMs;
    run.last.atMs = atMs;
    if (mode === 'on') history.sample(run);
  }
  second += 1;
  setTimeout(pass, 1_000 - (performance.now() % 1_000));
}

pass();
process.stdout.write('ready {}\n');
process.stdin.resume().once('end', () => {
  const { written, dropped } = history.status();
  void history.close().then(() => {
    process.stdout.write(`done ${JSON.stringify({ written, dropped })}\n`);
    process.exit(0);
  });
});
