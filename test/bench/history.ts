/** What history costs, and how large its file is. See README.md. */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listen } from '../helpers/heard.ts';
import { historyStand, USUAL } from '../helpers/history-stand.ts';
import { pause } from '../helpers/wait-for.ts';
import { expectedBytes, FIXED_BYTES } from '../../lib/observe/history/tiers.ts';
import { type Bench, runBench } from './support/bench.ts';
import { cpuMs } from './support/process-cost.ts';

const AIM_PERCENT = 2;
const SETTLE_MS = 15_000;
/** A whole number of tens, so that each window has as many roll-ups. */
const WINDOW_MS = 10_000;
const HOUR_S = 3_600;
/** What the file is expected to be of the formula, which is the most: without this a formula that is far too large would hold. */
const LEAST_SHARE = 0.5;

await runBench(
  'history',
  `CPU time (all threads, kernel included) of a process that records 7 resources of 1,000 runs once a second, less that of the
  same process without history, in windows of 10 s, as a share of one core; each window has one roll-up of ten seconds, every
  sixth one of a minute. Then three hours of 100 runs without pause, on a clock that is moved by hand, with 10 minutes of
  seconds, an hour of tens and three hours of minutes: the file and its log against the documented formula. Aims: less than
  ${AIM_PERCENT} % of a core, and no more bytes than the formula says.`,
  async (bench) => {
    const folder = mkdtempSync(join(tmpdir(), 'governor-test-'));
    bench.teardown(() => rmSync(folder, { recursive: true, force: true }));
    await cost(bench, folder);
    room(bench, folder, 'one');
    room(bench, folder, 'several');
  },
);

async function cost(bench: Bench, folder: string): Promise<void> {
  const tools = bench.pick(1_000, 1_000);
  const windows = bench.rounds(18);
  bench.parameter('tools', tools);
  const [on, off] = [load(bench, 'on', tools, folder), load(bench, 'off', tools, folder)];
  await Promise.all([on.said('ready', 30_000), off.said('ready', 30_000)]);
  await pause(bench.pick(SETTLE_MS, 3_000));
  const shares: number[] = [];
  const bare: number[] = [];
  for (let window = 0; window < windows; window++) {
    const before = [cpuMs(on.pid), cpuMs(off.pid)] as const;
    const beganMs = performance.now();
    await pause(WINDOW_MS);
    const tookMs = performance.now() - beganMs;
    const without = cpuMs(off.pid) - before[1];
    shares.push((100 * (cpuMs(on.pid) - before[0] - without)) / tookMs);
    bare.push((100 * without) / tookMs);
  }
  const rss = [on, off].map(({ pid }) => rssMb(pid));
  on.end();
  off.end();
  const { written, dropped } = (await on.said('done', 30_000)) as {
    readonly written: number;
    readonly dropped: number;
  };
  bench.figure('CPU of history, 1,000 tools × 7 resources at 1 s', '% of one core', shares, {
    most: AIM_PERCENT,
    of: 'mean',
  });
  bench.figure('the same process without it', '% of one core', bare);
  bench.figure('memory of history: RSS over that of the same process without it', 'MB', [
    (rss[0] ?? 0) - (rss[1] ?? 0),
  ]);
  bench.check('no reading was dropped', dropped === 0 && written > 0, `${written} rows written, ${dropped} dropped`);
}

function load(bench: Bench, mode: 'on' | 'off', tools: number, folder: string) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'history-load.js'), mode, String(tools), folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  bench.teardown(() => void child.kill('SIGKILL'));
  const heard = listen(child.stdout, `load ${mode}`);
  return {
    pid: child.pid ?? 0,
    said: (what: string, timeoutMs: number) => heard.said(what, timeoutMs),
    end: () => child.stdin.end(),
  };
}

function rssMb(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]);
  return (pages * 4096) / 1e6;
}

function room(bench: Bench, folder: string, readings: 'one' | 'several'): void {
  const [watched, hours] = [bench.pick(100, 10), 3];
  bench.parameter('runs of the file', watched);
  const settings = { ...USUAL, keepS: { '1s': 600, '10s': HOUR_S, '1m': hours * HOUR_S } };
  const own = join(folder, `room-${readings}`);
  mkdirSync(own);
  const history = historyStand(join(own, 'history.db'), { settings });
  for (let slot = 0; slot < watched; slot++) history.begin(slot, `tool${slot}`, `run${slot}`);
  for (let second = 0; second < hours * HOUR_S; second++) {
    for (let slot = 0; slot < watched * (readings === 'one' ? 1 : 2); slot++)
      history.read(slot % watched, {
        memory: 2e8 + ((second * 7919 + slot * 104_729) % 20_000) * 4096,
        cpu: ((second * 31 + slot * 17) % 1_000) / 37,
        file_handles: 20 + (slot % 50),
        sockets: second % 7,
        runtime: second * 1_000 + 7,
        temp_storage: (second * 131) % 100_000_000,
        tasks: 1 + (slot % 9),
      });
    history.advance(1_000);
    history.post();
  }
  const sizes = ['', '-wal'].map((part) => statSync(history.path + part).size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const most = expectedBytes(settings, { watched, runs: watched, totals: 0, readings });
  history.close();
  bench.figure(`file and log of three hours, ${readings} a second`, 'MB', [bytes / 1e6], {
    most: most / 1e6,
    of: 'max',
  });
  bench.check(
    `the file is no larger than the formula says, nor much smaller, ${readings} a second`,
    bytes <= most && (sizes[0] ?? 0) >= LEAST_SHARE * (most - FIXED_BYTES),
    `${bytes} of ${most} bytes`,
  );
}
