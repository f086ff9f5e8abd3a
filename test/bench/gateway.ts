/** What a call through Governor costs, against the server directly and against other gateways. See README.md. */

import type { Bench } from './support/bench.ts';
import { runBench } from './support/bench.ts';
import { coldStarts } from './support/gateway-cold.ts';
import { crossTalk } from './support/gateway-cross-talk.ts';
import { memory } from './support/gateway-memory.ts';
import { direct, endAll, governorPaths, type Path, peerPaths } from './support/gateway-paths.ts';
import { load, quantile } from './support/mcp-load.ts';
import { cpuMs, rssMb } from './support/process-cost.ts';

const CONCURRENT = 16;
/** Of a connection, which may meet code that is not compiled yet. */
const FIRST = 100;

await runBench(
  'gateway',
  `The same stdio server (a raw echo) reached directly, through Governor and through gateways from npm, by a raw client that
  shares the machine with all of them. Latency of one call at a time and calls a second at ${CONCURRENT} at once; CPU time of
  what lies between, per call, from /proc/PID/task/*/schedstat, all threads (of governor connect: its own processes too). Paths
  take turns, round by round. Each is warm when it is measured, after the same number of calls, because a gateway lives for
  days; what the first calls of a connection took is said apart. Then cold starts, cross-talk, and memory of 5 sessions with 6 servers. Aims: HTTP 0.20 ms CPU and 0.45 ms p50 a call, 6,000 calls/s;
  stdio 0.05 ms and 0.17 ms; 170 ms to the first tools/list over the server's own start.`,
  async (bench) => {
    bench.teardown(endAll);
    const paths = [direct, ...(await governorPaths(bench)), ...peerPaths(bench)];
    await latencies(bench, paths);
    await coldStarts(bench);
    await crossTalk(bench);
    await memory(bench);
  },
);

interface Row {
  p50OfFirst: number[];
  p50: number[];
  p99: number[];
  perSecond1: number[];
  p50Of16: number[];
  p99Of16: number[];
  perSecond16: number[];
  cpuMs: number[];
  rssMb: number[];
}

async function latencies(bench: Bench, paths: readonly Path[]): Promise<void> {
  const rounds = bench.rounds(5);
  const alone = bench.pick(500, 200);
  const together = bench.pick(1600, 640);
  const warm = bench.pick(6000, 300);
  bench.parameter('calls', `${alone} at 1, ${together} at ${CONCURRENT}`);
  bench.parameter('calls before them', `${FIRST} at 1, ${warm} at ${CONCURRENT}`);
  const rows = new Map<string, Row>();
  for (let round = 0; round < rounds; round += 1) {
    for (const path of paths) {
      bench.say(`round ${round + 1} of ${rounds}: ${path.name}`);
      try {
        await measure(path, { warm, alone, together }, rowOf(rows, path.name));
      } catch (error) {
        bench.notMeasured(`${path.name}, round ${round + 1}`, error instanceof Error ? error.message : String(error));
      }
    }
  }
  for (const [name, row] of rows) {
    const stdio = name === 'governor connect';
    const governor = stdio || name.startsWith('Governor ');
    const aim = (most: number): { most: number; of: 'median' }[] => (governor ? [{ most, of: 'median' }] : []);
    bench.figure(`${name}: p50 of the first ${FIRST} calls, at 1`, 'ms', row.p50OfFirst);
    bench.figure(`${name}: p50 at 1`, 'ms', row.p50, ...aim(stdio ? 0.17 : 0.45));
    bench.figure(`${name}: p99 at 1`, 'ms', row.p99);
    bench.figure(`${name}: calls at 1`, '/s', row.perSecond1);
    bench.figure(`${name}: p50 at ${CONCURRENT}`, 'ms', row.p50Of16);
    bench.figure(`${name}: p99 at ${CONCURRENT}`, 'ms', row.p99Of16);
    bench.figure(`${name}: calls at ${CONCURRENT}`, '/s', row.perSecond16);
    if (name !== direct.name)
      bench.figure(`${name}: CPU of what lies between`, 'ms/call', row.cpuMs, ...aim(stdio ? 0.05 : 0.2));
    if (name !== direct.name) bench.figure(`${name}: RSS of it, loaded`, 'MB', row.rssMb);
    if (governor && !stdio) {
      const most = Math.max(...row.perSecond16);
      bench.check(`${name}: 6,000 calls/s at ${CONCURRENT}`, most >= 6000, `${Math.round(most)} in the best round`);
    }
  }
}

async function measure(
  path: Path,
  { warm, alone, together }: Readonly<Record<'warm' | 'alone' | 'together', number>>,
  row: Row,
): Promise<void> {
  const { wire, tool, between, close } = await path.open();
  try {
    // Compiled code, grown buffers, open connections: a session lives longer than its first calls.
    const first = await load(wire, tool, FIRST, 1);
    row.p50OfFirst.push(quantile(first.latenciesMs, 0.5));
    await load(wire, tool, warm, CONCURRENT);
    const before = cpuOf(between);
    const one = await load(wire, tool, alone, 1);
    const many = await load(wire, tool, together, CONCURRENT);
    row.cpuMs.push((cpuOf(between) - before) / (alone + together));
    row.rssMb.push(between.reduce((sum, pid) => sum + rssMb(pid), 0));
    row.p50.push(quantile(one.latenciesMs, 0.5));
    row.p99.push(quantile(one.latenciesMs, 0.99));
    row.perSecond1.push(one.perSecond);
    row.p50Of16.push(quantile(many.latenciesMs, 0.5));
    row.p99Of16.push(quantile(many.latenciesMs, 0.99));
    row.perSecond16.push(many.perSecond);
  } finally {
    await close();
  }
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
}

function rowOf(rows: Map<string, Row>, name: string): Row {
  let row = rows.get(name);
  if (row === undefined) {
    row = {
      p50OfFirst: [],
      p50: [],
      p99: [],
      perSecond1: [],
      p50Of16: [],
      p99Of16: [],
      perSecond16: [],
      cpuMs: [],
      rssMb: [],
    };
    rows.set(name, row);
  }
  return row;
}
