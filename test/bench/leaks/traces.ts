/**
 * Traces of others: memory of a real service over 17 and 23 hours, one with a leak of about 1.4 % an hour and one without
 * (lf-edge/eve, Apache-2.0, pkg/pillar/cmd/watcher/testdata/memory_usage_golden_{leak,noleak}.csv; not part of this repository).
 * Argument: the folder that they lie in. Prints, by window, when each was suspected.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LeakDetector } from '../../../lib/core/leak.ts';
import { formatBytes, formatDuration } from '../../../lib/core/format.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import type { Readings } from '../../../lib/core/usage.ts';
import { measured, unsupported } from '../../../lib/core/usage.ts';

const HOUR = 3_600_000;
const WINDOWS = [HOUR / 2, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 8 * HOUR];
const NOT_READ = unsupported('not in the trace');

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write('traces.js FOLDER: where memory_usage_golden_leak.csv and memory_usage_golden_noleak.csv lie\n');
  process.exit(2);
}
for (const kind of ['leak', 'noleak']) {
  const samples = read(join(folder, `memory_usage_golden_${kind}.csv`));
  for (const windowMs of WINDOWS)
    process.stdout.write(
      `${kind.padEnd(6)}  window ${formatDuration(windowMs).padEnd(5)}  ${said(samples, windowMs)}\n`,
    );
}

function read(file: string): readonly { readonly atMs: number; readonly rss: number }[] {
  const [head = '', ...lines] = readFileSync(file, 'utf8').trim().split('\n');
  const [time, rss] = [head.split(',').indexOf('time'), head.split(',').indexOf('rss')];
  const rows = lines.map((line) => line.split(','));
  const startMs = Date.parse(rows[0]?.[time] ?? '');
  return rows.map((row) => ({ atMs: Date.parse(row[time] ?? '') - startMs, rss: Number(row[rss]) }));
}

function said(samples: ReturnType<typeof read>, windowMs: number): string {
  const detector = new LeakDetector(0, { warmUpMs: HOUR / 2, windowMs });
  const found: string[] = [];
  for (const { atMs, rss } of samples) {
    const readings = Object.fromEntries(
      RESOURCES.map((name) => [name, name === 'memory' ? measured(rss, 'rss-sum', atMs) : NOT_READ]),
    ) as unknown as Readings;
    for (const { kind, suspicion } of detector.add({ readings, atMs }) ?? [])
      found.push(
        kind === 'cleared'
          ? `cleared at ${formatDuration(atMs)}`
          : `suspected at ${formatDuration(atMs)}, ${formatBytes((suspicion.rise / windowMs) * HOUR)} an hour`,
      );
  }
  return found.length === 0 ? 'not suspected' : found.join('; ');
}
