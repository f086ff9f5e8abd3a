import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, readdir, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { AuditRecord } from '../../../lib/core/audit-record.ts';
import { AuditLog, type AuditStatus } from '../../../lib/observe/audit-log.ts';
import { verifyAudit } from '../../../lib/observe/audit-verify.ts';
import {
  entries,
  failingDisk,
  intentRecord,
  linesOf,
  logFiles,
  openTestLog,
  snapshot,
  stageRecord,
  tempStateDir,
  testClock,
  writeLog,
} from './audit-fixture.ts';

t.test('an entry holds its envelope, its record and its mac, in a private file', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir, { sync: 'batch' });
  log.write(stageRecord(1));
  log.write(intentRecord(2));
  t.equal(log.status().queued, 2, 'nothing is written within write()');
  await log.flush();
  t.strictSame(log.status(), { ok: true, queued: 0, lost: 0, error: null });
  const [first, second] = await entries(stateDir);
  t.match(first, { seq: 1, bootId: 'boot-1', daemon: 'daemon-1', prev: '0'.repeat(64), ...stageRecord(1) });
  t.match(first?.['at'], /^2026-01-02T03:04:05\.\d{3}Z$/);
  t.type(first?.['monotonicMs'], 'number');
  t.match(second, { seq: 2, prev: first?.['mac'], kind: 'intent' });
  t.strictSame(log.head(), { seq: 2, mac: second?.['mac'] });
  await log.close();
  for (const file of ['audit.key', 'audit.head', 'audit/audit-000000000001.jsonl']) {
    t.equal((await stat(join(stateDir, file))).mode & 0o777, 0o600, file);
  }
  t.equal((await stat(join(stateDir, 'audit.key'))).size, 32);
});

t.test('what is written is what was recorded, even when the record is changed after', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir);
  const detail: Record<string, unknown> = { value: 'then' };
  log.write({ kind: 'daemon', event: 'start', detail });
  detail['value'] = 'later';
  await log.close();
  t.match(await entries(stateDir), [{ detail: { value: 'then' } }]);
});

t.test('a record that JSON cannot hold, or that is huge, is kept in part and says why', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir);
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  const hostile = {
    toJSON() {
      throw new Error('no');
    },
  };
  const details = [{ cycle }, { big: 10n }, hostile, { text: 'x'.repeat(300_000) }];
  for (const target of details) log.write({ ...intentRecord(1), target } as AuditRecord);
  await log.close();
  const written = await entries(stateDir);
  t.equal(written.length, 4);
  for (const entry of written) t.match(entry, { kind: 'intent', tool: 'odd tööl', action: 'kill', reduced: String });
  t.match(written[3]?.['reduced'], /are more than the 262144/);
  t.equal((await verifyAudit(stateDir)).ok, true);
});

t.test('line breaks, quotes and odd characters stay within one line', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir);
  const tool = 'a"b\\c\nd\r\u2028\u0000\ud800,"mac":"00"}';
  log.write({ ...stageRecord(1), tool } as AuditRecord);
  log.write(stageRecord(2));
  await log.close();
  t.match(await verifyAudit(stateDir), { ok: true, lines: 2 });
  t.equal((await entries(stateDir))[0]?.['tool'], tool);
});

t.test('the next daemon goes on with the chain', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 5);
  const log = await openTestLog(stateDir, { daemon: 'daemon-2', bootId: 'boot-2' });
  t.equal(log.head().seq, 5);
  log.write(stageRecord(6));
  await log.close();
  t.match(await verifyAudit(stateDir), { ok: true, lines: 6, files: 1 });
  t.match((await entries(stateDir))[5], { seq: 6, daemon: 'daemon-2', bootId: 'boot-2' });
});

t.test('files are named by their first sequence and keep to their size', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 200, 9000);
  const files = logFiles(await snapshot(stateDir));
  t.ok(files.length > 5);
  for (const [path, bytes] of await snapshot(stateDir)) {
    if (!path.endsWith('.jsonl')) continue;
    const first = JSON.parse(linesOf(bytes)[0]?.toString() ?? '') as { seq: number };
    t.equal(path, `audit/audit-${String(first.seq).padStart(12, '0')}.jsonl`);
    t.ok(bytes.length <= 9000, `${path} has ${bytes.length} bytes`);
  }
  t.match(await verifyAudit(stateDir), { ok: true, lines: 200, files: files.length });
});

t.test('retention keeps so many files, records what went, and the rest verifies', async (t) => {
  for (const keepFiles of [1, 2, 3]) {
    const stateDir = await tempStateDir(t);
    const log = await openTestLog(stateDir, { maxFileBytes: 6000, keepFiles });
    for (let index = 0; index < 150; index += 1) log.write(stageRecord(index));
    await log.close();
    const files = logFiles(await snapshot(stateDir));
    t.equal(files.length, keepFiles);
    const report = await verifyAudit(stateDir);
    t.match(report, { ok: true, problemCount: 0, files: keepFiles }, `keep ${keepFiles}`);
    t.equal(report.lines, (report.toSeq ?? 0) - (report.fromSeq ?? 0) + 1);
    const kept = await entries(stateDir);
    const retention = kept.findLast((entry) => entry['kind'] === 'retention');
    t.equal(retention?.['toSeq'], (report.fromSeq ?? 0) - 1);
    t.equal(retention?.['lastMac'], kept[0]?.['prev']);
    t.type(retention?.['files'], Array);
  }
});

t.test('after retention, a further file that is removed is still found', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir, { maxFileBytes: 6000, keepFiles: 3 });
  for (let index = 0; index < 100; index += 1) log.write(stageRecord(index));
  await log.close();
  const [first = ''] = logFiles(await snapshot(stateDir));
  await unlink(join(stateDir, first));
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'missing', line: 1 } });
});

t.test('an old file that a crash kept from being removed is no fault and goes at the next start', async (t) => {
  const stateDir = await tempStateDir(t);
  const disk = failingDisk({ fails: (operation) => (operation === 'remove' ? 'EPERM' : null), partial: 0 });
  const log = await openTestLog(stateDir, { maxFileBytes: 6000, keepFiles: 2, disk });
  for (let index = 0; index < 60; index += 1) log.write(stageRecord(index));
  for (let index = 0; index < 20 && log.status().queued > 0; index += 1) await log.flush();
  t.equal(log.status().queued, 0, 'a file that cannot be removed does not stop the log');
  await log.close();
  t.ok(logFiles(await snapshot(stateDir)).length > 2);
  t.equal((await verifyAudit(stateDir)).ok, true);
  const next = await openTestLog(stateDir, { maxFileBytes: 6000, keepFiles: 2 });
  next.write(stageRecord(1));
  await next.close();
  t.equal(logFiles(await snapshot(stateDir)).length, 2);
  t.equal((await verifyAudit(stateDir)).ok, true);
});

t.test('a line torn by a crash is set aside, and that is said', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 3);
  await appendFile(join(stateDir, 'audit/audit-000000000001.jsonl'), '{"seq":4,"at":"2026-');
  const before = await verifyAudit(stateDir);
  t.match(before, { ok: true, lines: 3 }, 'what a crash leaves is no tampering');
  t.match(before.notes[0], /:4: unfinished/);
  const log = await openTestLog(stateDir);
  log.write(stageRecord(4));
  await log.close();
  const report = await verifyAudit(stateDir);
  t.match(report, { ok: true, lines: 5 });
  t.match(report.notes[0], /unfinished line in audit-000000000001.jsonl was cut off/);
  const repair = (await entries(stateDir))[3];
  t.match(repair, { kind: 'daemon', event: 'audit_repair', detail: { problem: 'torn_line', bytes: 20 } });
  const { movedTo: side } = (repair?.['detail'] ?? {}) as { movedTo?: string };
  t.match(side, /^audit-000000000001\.jsonl\.torn-20260102T0304/);
  t.equal((await snapshot(stateDir)).get(`audit/${side}`)?.toString(), '{"seq":4,"at":"2026-');
});

t.test('lines that were written before the head was are taken up', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 3);
  const head = (await snapshot(stateDir)).get('audit.head') ?? '';
  await writeLog(stateDir, 3);
  await writeFile(join(stateDir, 'audit.head'), head);
  t.match(await verifyAudit(stateDir), { ok: true, lines: 6 });
  const log = await openTestLog(stateDir);
  t.equal(log.head().seq, 6);
  await log.close();
  t.equal((await verifyAudit(stateDir)).head?.seq, 6);
});

t.test('evidence is not healed by a restart', async (t) => {
  const cases: readonly (readonly [string, string, (stateDir: string, file: string) => Promise<void>])[] = [
    [
      'lines_missing',
      'missing',
      async (_dir, file) =>
        truncate(
          file,
          linesOf((await snapshot(_dir)).get('audit/audit-000000000001.jsonl') ?? Buffer.alloc(0))[0]?.length,
        ),
    ],
    ['lines_missing', 'missing', async (_dir, file) => unlink(file)],
    ['lines_missing', 'missing', async (_dir, file) => truncate(file, 0)],
    [
      'last_line_invalid',
      'malformed',
      async (_dir, file) => truncate(file, (await stat(file)).size - 3).then(() => appendFile(file, '\n')),
    ],
    ['head_missing', 'head_missing', async (dir) => unlink(join(dir, 'audit.head'))],
    ['head_forged', 'head_forged', async (dir) => writeFile(join(dir, 'audit.head'), 'x')],
    ['key_missing', 'changed', async (dir) => unlink(join(dir, 'audit.key'))],
    ['key_invalid', 'changed', async (dir) => writeFile(join(dir, 'audit.key'), 'x')],
  ];
  for (const [problem, kind, spoil] of cases) {
    const stateDir = await tempStateDir(t);
    await writeLog(stateDir, 3);
    await spoil(stateDir, join(stateDir, 'audit/audit-000000000001.jsonl'));
    const log = await openTestLog(stateDir);
    log.write(stageRecord(9));
    const status = await log.close();
    t.match(status, { ok: true, queued: 0, lost: 0 }, `${problem}: goes on`);
    const said = (await entries(stateDir).catch(() => [])).some(
      (entry) => (entry['detail'] as { problem?: string } | undefined)?.problem === problem,
    );
    if (kind !== 'malformed') t.equal(said, true, `${problem} is said`);
    const report = await verifyAudit(stateDir);
    t.equal(report.ok, false, `${problem} is still found`);
    t.ok(
      report.problems.some((found) => found.kind === kind),
      `${problem} shows as ${kind}: ${JSON.stringify(report.problems)}`,
    );
  }
});

t.test('everything removed but the key is evidence too', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 3);
  await rm(join(stateDir, 'audit'), { recursive: true });
  await rm(join(stateDir, 'audit.head'));
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'head_missing' } });
  await writeLog(stateDir, 1);
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'head_missing', line: 1 } });
});

t.test('a refusing disk: entries wait, half a batch is taken back, all is written once it can be', async (t) => {
  for (const code of ['ENOSPC', 'EROFS', 'EIO', 'EDQUOT']) {
    const stateDir = await tempStateDir(t);
    const state = {
      failing: false,
      partial: 500,
      fails: (operation: string) => (state.failing && operation === 'append' ? code : null),
    };
    const seen: AuditStatus[] = [];
    const log = await openTestLog(stateDir, { disk: failingDisk(state), onStatus: (status) => seen.push(status) });
    log.write(stageRecord(1));
    await log.flush();
    state.failing = true;
    for (let index = 2; index <= 10; index += 1) log.write(index % 2 === 0 ? intentRecord(index) : stageRecord(index));
    await log.flush();
    t.match(log.status(), { ok: false, queued: 9, lost: 0, error: new RegExp(code) });
    t.equal(
      (await stat(join(stateDir, 'audit/audit-000000000001.jsonl'))).size > 500,
      true,
      'a part of the batch is there',
    );
    t.equal((await verifyAudit(stateDir)).ok, true, 'which is not taken for tampering');
    await log.flush();
    t.equal(log.status().queued, 9);
    state.failing = false;
    await log.flush();
    t.strictSame(log.status(), { ok: true, queued: 0, lost: 0, error: null });
    t.strictSame(
      seen.map(({ ok }) => ok),
      [false, true],
      'told once when it begins and once when it ends',
    );
    await log.close();
    t.match(await verifyAudit(stateDir), { ok: true, lines: 10 }, `${code}: nothing twice, nothing missing`);
  }
});

t.test('entries keep their order over failures in any batch', async (t) => {
  const stateDir = await tempStateDir(t);
  let appends = 0;
  // Every second append fails, and a file holds only some entries, so that each batch is a part of the queue.
  const disk = failingDisk({
    partial: 30,
    fails: (operation) => (operation === 'append' && appends++ % 4 < 2 ? 'EIO' : null),
  });
  const log = await openTestLog(stateDir, { disk, maxFileBytes: 3000 });
  for (let index = 1; index <= 40; index += 1) log.write(stageRecord(index));
  for (let attempt = 0; attempt < 100 && log.status().queued > 0; attempt += 1) await log.flush();
  await log.close();
  const runs = (await entries(stateDir)).map((entry) => Number(String(entry['run']).slice(3)));
  t.strictSame(
    runs,
    Array.from({ length: 40 }, (_, index) => index + 1),
  );
  t.match(await verifyAudit(stateDir), { ok: true, lines: 40 });
});

t.test('it tries again by itself', async (t) => {
  const stateDir = await tempStateDir(t);
  let failures = 2;
  const state = {
    partial: 0,
    fails: (operation: string) => (operation === 'append' && failures-- > 0 ? 'ENOSPC' : null),
  };
  const recovered = new Promise<void>((resolve) => {
    const keepAlive = setInterval(() => undefined, 1000);
    void openTestLog(stateDir, {
      disk: failingDisk(state),
      onStatus: ({ ok }) => {
        if (!ok) return;
        clearInterval(keepAlive);
        resolve();
      },
    }).then((log) => {
      log.write(stageRecord(1));
      t.teardown(() => log.close());
    });
  });
  await recovered;
  t.match(await verifyAudit(stateDir), { ok: true, lines: 1 });
});

t.test('a sync or a cut that fails does not write anything twice', async (t) => {
  const stateDir = await tempStateDir(t);
  const broken = new Set<string>();
  const disk = failingDisk({ partial: 100, fails: (operation) => (broken.has(operation) ? 'EIO' : null) });
  const log = await openTestLog(stateDir, { disk, sync: 'batch' });
  log.write(stageRecord(1));
  await log.flush();
  broken.add('sync').add('truncate');
  log.write(stageRecord(2));
  await log.flush();
  t.match(log.status(), { ok: false, queued: 1 });
  await log.flush();
  broken.delete('sync');
  await log.flush();
  t.match(log.status(), { ok: false, queued: 1 }, 'not before the failed batch is cut away');
  broken.clear();
  await log.close();
  t.match(await verifyAudit(stateDir), { ok: true, lines: 2 });
});

t.test('entries are synced as the policy says', async (t) => {
  for (const [sync, expected] of [
    ['batch', 2],
    ['intent', 1],
    ['never', 0],
  ] as const) {
    let syncs = 0;
    const disk = failingDisk({
      partial: 0,
      fails: (operation) => (operation === 'sync' && ++syncs < 0 ? 'EIO' : null),
    });
    const log = await openTestLog(await tempStateDir(t), { disk, sync });
    log.write(stageRecord(1));
    await log.flush();
    log.write(intentRecord(2));
    await log.flush();
    await log.close();
    t.equal(syncs, expected, sync);
  }
});

t.test('when too many wait, the oldest that are no intent go, and the log says how many', async (t) => {
  const stateDir = await tempStateDir(t);
  let failing = true;
  const disk = failingDisk({ partial: 0, fails: (operation) => (failing && operation === 'append' ? 'ENOSPC' : null) });
  const log = await openTestLog(stateDir, { disk, maxQueued: 10 });
  for (let index = 1; index <= 30; index += 1) log.write(index % 5 === 0 ? intentRecord(index) : stageRecord(index));
  await log.flush();
  t.match(log.status(), { ok: false, queued: 10, lost: 20 });
  failing = false;
  await log.flush();
  t.match(log.status(), { ok: true, queued: 0, lost: 20 });
  for (let index = 31; index <= 33; index += 1) log.write(stageRecord(index));
  await log.close();
  const written = await entries(stateDir);
  t.match(written[0], { kind: 'lost', count: 20, intents: 0, reason: /ENOSPC/ });
  t.equal(written.filter((entry) => entry['kind'] === 'lost').length, 1, 'said once');
  t.equal(written.filter((entry) => entry['kind'] === 'intent').length, 6, 'every intent is there');
  t.strictSame(
    written.slice(1, 11).map((entry) => entry['run']),
    ['run5', 'run10', 'run15', 'run20', 'run25', 'run0000026', 'run0000027', 'run0000028', 'run0000029', 'run30'],
  );
  const report = await verifyAudit(stateDir);
  t.match(report, { ok: true, lines: 14 });
  t.match(report.notes[0], /20 entries could not be written/);
});

t.test('intents go only when nothing else is left, and are counted', async (t) => {
  const stateDir = await tempStateDir(t);
  let failing = true;
  const disk = failingDisk({ partial: 0, fails: (operation) => (failing && operation === 'append' ? 'ENOSPC' : null) });
  const log = await openTestLog(stateDir, { disk, maxQueued: 3 });
  for (let index = 1; index <= 8; index += 1) log.write(intentRecord(index));
  await log.flush();
  t.match(log.status(), { queued: 3, lost: 5 });
  failing = false;
  await log.close();
  t.match((await entries(stateDir))[0], { kind: 'lost', count: 5, intents: 5 });
});

t.test('a log that is closed while the disk refuses ends, and counts what was lost', async (t) => {
  const disk = failingDisk({ partial: 0, fails: (operation) => (operation === 'open' ? 'EROFS' : null) });
  const log = await openTestLog(await tempStateDir(t), { disk });
  log.write(stageRecord(1));
  t.match(await log.close(), { ok: false, queued: 0, lost: 1, error: /EROFS/ });
  log.write(stageRecord(2));
  await log.flush();
  t.match(log.status(), { lost: 2 });
});

t.test('a state directory that cannot be used: the log waits for it', async (t) => {
  const stateDir = join(await tempStateDir(t), 'state');
  await writeFile(stateDir, 'a file is in the way');
  const log = await openTestLog(stateDir);
  log.write(stageRecord(1));
  await log.flush();
  t.match(log.status(), { ok: false, queued: 1, error: /ENOTDIR|EEXIST/ });
  await rm(stateDir);
  await mkdir(stateDir);
  await log.flush();
  t.match(log.status(), { ok: true, queued: 0 });
  await log.close();
  t.match(await verifyAudit(stateDir), { ok: true, lines: 1 });
});

t.test('a file that is deleted or cut under the writer: what follows is not lost, and it shows', async (t) => {
  for (const spoil of [unlink, (file: string) => truncate(file, 300), (file: string) => appendFile(file, 'glue')]) {
    const stateDir = await tempStateDir(t);
    const log = await openTestLog(stateDir);
    for (let index = 1; index <= 3; index += 1) log.write(stageRecord(index));
    await log.flush();
    await spoil(join(stateDir, 'audit/audit-000000000001.jsonl'));
    log.write(stageRecord(4));
    await log.close();
    t.match(linesOf((await snapshot(stateDir)).get('audit/audit-000000000004.jsonl') ?? Buffer.alloc(0)).length, 1);
    t.equal((await verifyAudit(stateDir)).ok, false);
  }
});

t.test('writers and readers at the same time: a log in use verifies', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir, { maxFileBytes: 20_000, keepFiles: 3 });
  for (let round = 0; round < 40; round += 1) {
    for (let index = 0; index < 20; index += 1) log.write(stageRecord(index));
    const [report] = await Promise.all([verifyAudit(stateDir), log.flush()]);
    if (!report.ok) t.fail(`round ${round}: ${JSON.stringify(report.problems)}`);
  }
  await log.close();
  t.equal((await verifyAudit(stateDir)).ok, true);
});

t.test('many entries at once are written in order', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = new AuditLog({ stateDir, clock: testClock(), bootId: 'b', daemon: 'd', sync: 'never' });
  for (let index = 1; index <= 8000; index += 1) log.write(stageRecord(index));
  await log.close();
  t.match(await verifyAudit(stateDir), { ok: true, lines: 8000 });
  t.strictSame(
    (await entries(stateDir)).map((entry) => Number(String(entry['run']).slice(3))),
    Array.from({ length: 8000 }, (_, index) => index + 1),
  );
});

t.test('a writer that is killed in the middle of it leaves a log that verifies and goes on', async (t) => {
  const stateDir = await tempStateDir(t);
  const module = join(import.meta.dirname, '../../../lib/observe/audit-log.js');
  const program = `
    import { openAuditLog } from ${JSON.stringify(module)};
    const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
    const log = await openAuditLog({ stateDir: ${JSON.stringify(stateDir)}, clock, bootId: 'b', daemon: 'd', maxFileBytes: 50_000, keepFiles: 4, gatherMs: 0 });
    const detail = { text: 'x'.repeat(3000) };
    for (let seq = 1; ; seq += 1) {
      for (let index = 0; index < 10; index += 1) log.write({ kind: 'daemon', event: 'start', detail });
      await log.flush();
      if (seq === 10) process.stdout.write('ready');
    }
  `;
  for (let round = 0; round < 6; round += 1) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, round * 7));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const report = await verifyAudit(stateDir);
    t.equal(report.ok, true, JSON.stringify(report.first));
    t.ok(report.lines > 10);
  }
  await writeLog(stateDir, 1);
  t.equal((await verifyAudit(stateDir)).ok, true);
});

/** Why no tmpfs can be mounted here, or false. */
function noTmpfs(): string | false {
  const directory = mkdtempSync(join(tmpdir(), 'governor-test-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], { stdio: 'pipe' });
    execFileSync('umount', [directory]);
    return false;
  } catch (error) {
    return `a tmpfs cannot be mounted here: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    rmdirSync(directory);
  }
}

t.test('a full file system, for real', { skip: noTmpfs() }, async (t) => {
  const mountPoint = await tempStateDir(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mountPoint], { stdio: 'pipe' });
  t.teardown(() => execFileSync('umount', [mountPoint]));
  const log = await openTestLog(mountPoint, { sync: 'batch' });
  log.write(stageRecord(1));
  await log.flush();
  let written = 1;
  while (log.status().ok && written < 1000) {
    written += 1;
    log.write(written % 10 === 0 ? intentRecord(written) : stageRecord(written));
    await log.flush();
  }
  t.match(log.status(), { ok: false, error: /ENOSPC/ });
  const stuck = log.status().queued;
  for (let index = 0; index < 50; index += 1) log.write(stageRecord(index));
  await log.flush();
  t.equal(log.status().queued, stuck + 50);
  execFileSync('mount', ['-o', 'remount,size=256k', mountPoint]);
  await log.flush();
  t.strictSame(log.status(), { ok: true, queued: 0, lost: 0, error: null });
  await log.close();
  t.match(await verifyAudit(mountPoint), { ok: true, lines: written + 50 });
  t.strictSame((await readdir(mountPoint)).sort(), ['audit', 'audit.head', 'audit.key']);
});
