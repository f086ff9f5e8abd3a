/** A real audit log in a directory of its own, and the ways to spoil it. */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditRecord } from '../../../lib/core/audit-record.ts';
import { type AuditDisk, NODE_DISK } from '../../../lib/observe/audit-disk.ts';
import { type AuditLog, type AuditLogOptions, openAuditLog } from '../../../lib/observe/audit-log.ts';

export function testClock(): { monotonicMs(): number; wallMs(): number } {
  let now = 0;
  return {
    monotonicMs: () => (now += 1),
    wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5) + (now += 1),
  };
}

/** A directory that is removed when the test ends. */
export async function tempStateDir(t: { teardown(fn: () => Promise<void>): unknown }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'governor-test-audit-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export function openTestLog(stateDir: string, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  return openAuditLog({
    stateDir,
    clock: testClock(),
    bootId: 'boot-1',
    daemon: 'daemon-1',
    sync: 'never',
    gatherMs: 0,
    ...options,
  });
}

export function stageRecord(index: number): AuditRecord {
  return {
    kind: 'stage',
    tool: index % 2 === 0 ? 'even "tool"' : 'odd tööl',
    run: `run${String(index).padStart(7, '0')}`,
    resource: 'memory',
    from: 'normal',
    to: 'warning',
    usage: 800 + index,
    limit: 1000,
    ratio: 0.8,
    cause: 'samples',
    dryRun: false,
  };
}

export function intentRecord(index: number): AuditRecord {
  return {
    kind: 'intent',
    tool: 'odd tööl',
    run: `run${index}`,
    action: 'kill',
    reason: 'limit',
    target: { pid: index, startTicks: 1 },
  };
}

/** `lines` entries in files of at most `maxFileBytes`. */
export async function writeLog(stateDir: string, lines: number, maxFileBytes = 1_000_000): Promise<void> {
  const log = await openTestLog(stateDir, { maxFileBytes });
  for (let index = 1; index <= lines; index += 1) log.write(stageRecord(index));
  const status = await log.close();
  if (!status.ok || status.lost > 0) throw new Error(`the log was not written: ${JSON.stringify(status)}`);
}

/** Every file of the state directory, by relative path: what an attacker could put back. */
export type Snapshot = ReadonlyMap<string, Buffer>;

export async function snapshot(stateDir: string): Promise<Snapshot> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(stateDir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(stateDir.length + 1), await readFile(path));
  }
  return files;
}

export async function restore(stateDir: string, files: Snapshot): Promise<void> {
  for (const path of (await snapshot(stateDir)).keys()) if (!files.has(path)) await rm(join(stateDir, path));
  for (const [path, bytes] of files) await writeFile(join(stateDir, path), bytes);
}

export function logFiles(files: Snapshot): readonly string[] {
  return [...files.keys()].filter((path) => path.endsWith('.jsonl')).sort();
}

/** The lines of a log file with their line breaks, byte for byte. */
export function linesOf(bytes: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(10, from);
    const to = end === -1 ? bytes.length : end + 1;
    lines.push(bytes.subarray(from, to));
    from = to;
  }
  return lines;
}

export async function entries(stateDir: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const files = await snapshot(stateDir);
  return logFiles(files).flatMap((path) =>
    linesOf(files.get(path) ?? Buffer.alloc(0)).map((line) => JSON.parse(line.toString()) as Record<string, unknown>),
  );
}

/** The real disk, but `fails` can refuse: an append that is refused leaves `partial` bytes behind, as ENOSPC does. */
export function failingDisk(state: {
  fails: (operation: 'open' | 'append' | 'truncate' | 'sync' | 'remove') => string | null;
  partial: number;
}): AuditDisk {
  function check(operation: 'open' | 'append' | 'truncate' | 'sync' | 'remove'): void {
    const code = state.fails(operation);
    if (code !== null) throw Object.assign(new Error(`${code}: refused by the test, ${operation}`), { code });
  }
  return {
    async open(path) {
      check('open');
      const file = await NODE_DISK.open(path);
      return {
        ...file,
        async append(bytes) {
          if (state.fails('append') !== null) await file.append(bytes.subarray(0, state.partial));
          check('append');
          await file.append(bytes);
        },
        async truncate(length) {
          check('truncate');
          await file.truncate(length);
        },
        async sync() {
          check('sync');
          await file.sync();
        },
      };
    },
    async remove(path) {
      check('remove');
      await NODE_DISK.remove(path);
    },
  };
}
