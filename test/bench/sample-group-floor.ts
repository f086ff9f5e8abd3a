/**
 * The floor under the totals of a group: a C program that reads the same files, kept open, and makes nothing of them.
 * Started by sample.ts like sample-worker.ts: `sample-group-floor BACKEND ROUNDS EVERY_MS` with the pids as JSON on stdin.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainmentRecord } from '../../lib/os/backend.ts';
import type { WorkerResult } from './sample-worker.ts';
import { containments } from './support/containments.ts';
import { program } from './support/program.ts';

/** What `GroupUsage` reads of a tool that has run: memory, CPU time, tasks. */
const FILES = {
  cgroup1: [
    ['memory', 'memory.usage_in_bytes'],
    ['unified', 'cpu.stat'],
    ['cpuacct', 'cpuacct.usage'],
    ['pids', 'pids.current'],
  ],
  cgroup2: [
    ['unified', 'memory.current'],
    ['unified', 'cpu.stat'],
    ['unified', 'pids.current'],
  ],
} as const;

const [backend = '', rounds = '10', everyMs = '1000'] = process.argv.slice(2);
if (backend !== 'cgroup1' && backend !== 'cgroup2') throw new Error(`there is no floor for ${backend}`);
const pids = JSON.parse(readFileSync(0, 'utf8')) as readonly number[];
const { runs, close } = await containments(backend, pids);
const files = runs.map(({ record }) => filesOf(record));
const each = files[0]?.length ?? 0;
const floor = spawnSync(program('sample-floor'), [`--rounds=${rounds}`, `--every-ms=${everyMs}`, `--files=${each}`], {
  input: `${files.flat().join('\n')}\n`,
  encoding: 'utf8',
});
await close();
if (floor.status !== 0) throw new Error(floor.stderr);
const { cpuMicroseconds } = JSON.parse(floor.stdout) as { readonly cpuMicroseconds: readonly number[] };
const result: WorkerResult = { cpu: cpuMicroseconds, wall: [], totals: { files: each } };
process.stdout.write(`${JSON.stringify(result)}\n`);

function filesOf({ directories }: ContainmentRecord): readonly string[] {
  return FILES[backend as keyof typeof FILES].flatMap(([hierarchy, name]) => {
    const path = directories.find((one) => one.hierarchy === hierarchy)?.path;
    const file = path === undefined ? null : join(path, name);
    return file !== null && existsSync(file) ? [file] : [];
  });
}
