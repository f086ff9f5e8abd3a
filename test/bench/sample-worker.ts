/**
 * One way of sampling, alone in its process so that no other way's garbage or compiled code is on its bill. Started by
 * sample.ts: `sample-worker WAY ROUNDS EVERY_MS PHASE_MS` with the pids as JSON on stdin; prints one line of JSON. Rounds
 * are taken at the phase of each period of the wall clock, so that the ways do not get into each other's.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pidusage from 'pidusage';
import { decide, initialMemory } from '../../lib/core/policy.ts';
import type { BackendId } from '../../lib/os/backend.ts';
import { openGroup1 } from '../../lib/os/cgroup1/group.ts';
import { openGroup2 } from '../../lib/os/cgroup2/group.ts';
import { TreeReader } from '../../lib/os/procfs/tree-reader.ts';
import { RecordBuilder } from '../../lib/supervisor/usage-record.ts';
import { DEFAULT_LADDER } from '../../config/defaults.ts';
import { pause } from '../helpers/wait-for.ts';
import { containments } from './support/containments.ts';
import { limitsOnAll } from './support/limits.ts';

export interface WorkerResult {
  /** µs per process and round. */
  readonly cpu: readonly number[];
  readonly wall: readonly number[];
  /** Of the last round, to prove that something was read. */
  readonly totals: Readonly<Record<string, number>>;
  readonly skipped?: string;
}

type Way = (pids: readonly number[]) => Promise<{
  readonly round: (nowMs: number) => void | Promise<void>;
  readonly totals: () => Readonly<Record<string, number>>;
  readonly close: () => Promise<void>;
}>;

const ways: Readonly<Record<string, Way>> = {
  /** 200 tools of one process each in the backend that has no cgroup: scan, members, all seven resources. */
  procfs: (pids) => contained('procfs', pids),
  cgroup1: (pids) => contained('cgroup1', pids),
  cgroup2: (pids) => contained('cgroup2', pids),
  /** The same; sample.ts gives them processes that run. */
  awake1: (pids) => contained('cgroup1', pids),
  awake2: (pids) => contained('cgroup2', pids),
  /** One tool of 200 processes. */
  tree: async (pids) => {
    const tempDir = mkdtempSync(join(tmpdir(), 'governor-test-'));
    const reader = new TreeReader({ tempDir, parts: { memory: true, cpu: true, tasks: true } });
    reader.setMemoryLimit(2 ** 40);
    let last = reader.sample(pids, performance.now(), false);
    return {
      round: (nowMs) => void (last = reader.sample(pids, nowMs, false)),
      totals: () => ({
        fileHandles: valueOf(last.fileHandles),
        sockets: valueOf(last.sockets),
        tasks: valueOf(last.tasks),
      }),
      close: async () => {
        reader.close();
        rmSync(tempDir, { recursive: true });
      },
    };
  },
  /** Only what the groups give as a total: memory, OOM kills, CPU, throttling, tasks. */
  totals1: (pids) => groupTotals('cgroup1', pids),
  totals2: (pids) => groupTotals('cgroup2', pids),
  /** What comes after the reading: the record of a sample and the policy's judgement of it. */
  judge: async (pids) => {
    const limits = limitsOnAll();
    const settings = { ...DEFAULT_LADDER, cpuWarmUpMs: 0 };
    const startedMs = performance.now();
    const tools = pids.map((pid) => ({
      records: new RecordBuilder(String(pid), (atMs) => atMs - startedMs, 2),
      memory: initialMemory(performance.now()),
      cpuMs: 0,
    }));
    let decisions = 0;
    return {
      round(nowMs) {
        for (const tool of tools) {
          const reading = (value: number) => ({
            kind: 'measured' as const,
            value,
            quality: 'cgroup' as const,
            atMs: nowMs,
          });
          tool.cpuMs += 0.01;
          const [memory, few, none] = [reading(1e6), reading(20), reading(0)];
          const sample = {
            atMs: nowMs,
            populated: true,
            memory,
            cpuTimeMs: reading(tool.cpuMs),
            fileHandles: few,
            sockets: reading(3),
            tempStorage: none,
            tasks: reading(1),
            oomKills: 0,
            cpuThrottledMs: 0,
            memoryStallMs: 0,
          };
          const verdict = decide(tool.memory, tool.records.build(sample, false), limits, settings, nowMs);
          tool.memory = verdict.memory;
          decisions += verdict.decisions.length;
        }
      },
      totals: () => ({ decisions }),
      close: async () => undefined,
    };
  },
  pidusage: async (pids) => {
    let last: Awaited<ReturnType<typeof pidusage>> | Record<string, unknown> = {};
    return {
      round: async () => void (last = await pidusage([...pids])),
      totals: () => ({ processes: Object.keys(last).length }),
      close: async () => pidusage.clear(),
    };
  },
};

async function contained(id: BackendId, pids: readonly number[]): ReturnType<Way> {
  const { runs, close } = await containments(id, pids);
  let totals: Record<string, number> = {};
  return {
    round(nowMs) {
      const sum = { fileHandles: 0, sockets: 0, tasks: 0, memory: 0, populated: 0 };
      for (const run of runs) {
        const sample = run.usage.sample(nowMs);
        sum.fileHandles += valueOf(sample.fileHandles);
        sum.sockets += valueOf(sample.sockets);
        sum.tasks += valueOf(sample.tasks);
        sum.memory += valueOf(sample.memory);
        sum.populated += sample.populated ? 1 : 0;
      }
      totals = sum;
    },
    totals: () => totals,
    close,
  };
}

async function groupTotals(id: 'cgroup1' | 'cgroup2', pids: readonly number[]): ReturnType<Way> {
  const { runs, close } = await containments(id, pids);
  const layouts = runs.flatMap(({ record }) => {
    const [first] = record.directories;
    const layout =
      id === 'cgroup1'
        ? openGroup1({ cookie: record.cookie, tempDir: tmpdir(), directories: record.directories })
        : openGroup2({
            backend: id,
            directory: first?.path ?? '',
            inode: first?.inode ?? 0,
            cookie: record.cookie,
            tempDir: tmpdir(),
            mover: null,
          });
    if (layout === null) throw new Error('no group');
    layout.memory?.apply(limitsOnAll()).catch(() => undefined);
    return [layout];
  });
  let tasks = 0;
  return {
    round(nowMs) {
      tasks = 0;
      for (const { memory, cpu, tasks: counted } of layouts) {
        memory?.unreclaimableBytes(nowMs, false, 0);
        cpu?.usageMs(nowMs);
        cpu?.throttledMs();
        tasks += counted?.current() ?? 0;
      }
    },
    totals: () => ({ tasks }),
    close: async () => {
      for (const { memory, cpu, tasks: counted, stall } of layouts)
        for (const part of [memory, cpu, counted, stall]) part?.close();
      await close();
    },
  };
}

function valueOf(reading: { readonly kind: string; readonly value?: number }): number {
  return reading.kind === 'measured' ? (reading.value ?? Number.NaN) : Number.NaN;
}

const [name = '', rounds = '10', everyMs = '1000', phaseMs = '0'] = process.argv.slice(2);
const way = ways[name];
if (way === undefined) throw new Error(`no way of sampling is called ${name}`);
const pids = JSON.parse(readFileSync(0, 'utf8')) as readonly number[];
const { round, totals, close } = await way(pids);
const cpu: number[] = [];
const wall: number[] = [];
// The first rounds open what is then kept open, and let the compiler have its look.
for (let count = -5; count < Number(rounds); count += 1) {
  const startedMs = performance.now();
  const before = process.cpuUsage();
  await round(startedMs);
  const used = process.cpuUsage(before);
  const tookMs = performance.now() - startedMs;
  if (count >= 0) {
    cpu.push((used.user + used.system) / pids.length);
    wall.push((tookMs * 1000) / pids.length);
  }
  await pause(count < -1 ? 100 : untilTurn());
}
const result: WorkerResult = { cpu, wall, totals: totals() };
await close();
process.stdout.write(`${JSON.stringify(result)}\n`);

function untilTurn(): number {
  const period = Number(everyMs);
  return period - ((Date.now() - Number(phaseMs)) % period);
}
