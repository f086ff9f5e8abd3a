import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type AuditQuery, exportAudit, readAudit } from '../../../lib/observe/audit-read.ts';
import { intentRecord, logFiles, openTestLog, snapshot, stageRecord, tempStateDir } from './audit-fixture.ts';

/** 40 entries in several files: every fifth an intent, the others stage changes of two tools by turns. */
async function mixedLog(test: { teardown(fn: () => Promise<void>): unknown }): Promise<string> {
  const stateDir = await tempStateDir(test);
  const log = await openTestLog(stateDir, { maxFileBytes: 6000 });
  for (let index = 1; index <= 40; index += 1) log.write(index % 5 === 0 ? intentRecord(index) : stageRecord(index));
  await log.close();
  return stateDir;
}

async function seqs(stateDir: string, options: Parameters<typeof readAudit>[1]): Promise<readonly number[]> {
  return (await readAudit(stateDir, options)).entries.map(({ seq }) => seq);
}

const ALL = Array.from({ length: 40 }, (_, index) => index + 1);

t.test('all of it, oldest or newest first', async (t) => {
  const stateDir = await mixedLog(t);
  t.ok(logFiles(await snapshot(stateDir)).length > 2);
  t.strictSame(await seqs(stateDir, {}), ALL);
  t.strictSame(await seqs(stateDir, { order: 'newest' }), ALL.toReversed());
});

t.test('a limit bounds both orders and says that there is more', async (t) => {
  const stateDir = await mixedLog(t);
  t.match(await readAudit(stateDir, { limit: 7 }), { more: true, unreadable: 0 });
  t.strictSame(await seqs(stateDir, { limit: 7 }), ALL.slice(0, 7));
  t.strictSame(await seqs(stateDir, { limit: 25, order: 'newest' }), ALL.toReversed().slice(0, 25));
  t.match(await readAudit(stateDir, { limit: 25, order: 'newest' }), { more: true });
  for (const order of ['oldest', 'newest'] as const) {
    t.match(await readAudit(stateDir, { limit: 40, order }), { more: false });
    t.match(await readAudit(stateDir, { limit: 39, order }), { more: true });
    t.equal((await readAudit(stateDir, { limit: 0, order })).entries.length, 1, 'at least one');
  }
});

t.test('pages by afterSeq give every entry once', async (t) => {
  const stateDir = await mixedLog(t);
  const seen: number[] = [];
  for (let afterSeq = 0; ;) {
    const page = await readAudit(stateDir, { limit: 6, afterSeq });
    seen.push(...page.entries.map(({ seq }) => seq));
    if (!page.more) break;
    afterSeq = seen.at(-1) ?? 0;
  }
  t.strictSame(seen, ALL);
  const bad: number[] = [];
  for (let afterSeq = 0; afterSeq <= 41; afterSeq += 1) {
    const found = await seqs(stateDir, { afterSeq });
    if (found.join() !== ALL.slice(afterSeq).join()) bad.push(afterSeq);
  }
  t.strictSame(bad, []);
  t.strictSame(await seqs(stateDir, { afterSeq: 37, order: 'newest' }), [40, 39, 38]);
});

t.test('filters: each holds', async (t) => {
  const stateDir = await mixedLog(t);
  t.strictSame(await seqs(stateDir, { kind: 'intent' }), [5, 10, 15, 20, 25, 30, 35, 40]);
  t.strictSame(
    await seqs(stateDir, { tool: 'even "tool"', kind: 'stage' }),
    ALL.filter((seq) => seq % 2 === 0 && seq % 5 !== 0),
  );
  t.strictSame(await seqs(stateDir, { run: 'run0000007' }), [7]);
  t.strictSame(await seqs(stateDir, { tool: 'even "tool"', run: 'run0000007' }), []);
  t.strictSame(await seqs(stateDir, { tool: 'tool' }), [], 'a part of a name is no match');
  const at = (await readAudit(stateDir, {})).entries.map((entry) => Date.parse(entry.at));
  t.strictSame(await seqs(stateDir, { sinceMs: at[9] ?? 0 }), ALL.slice(9));
  t.strictSame(await seqs(stateDir, { untilMs: at[9] ?? 0 }), ALL.slice(0, 9));
  t.strictSame(await seqs(stateDir, { sinceMs: at[3] ?? 0, untilMs: at[5] ?? 0, order: 'newest' }), [5, 4]);
});

t.test('what merely mentions a tool is not of the tool', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir);
  log.write({ kind: 'daemon', event: 'start', detail: { tool: 'a', run: 'r', kind: 'intent' } });
  await log.close();
  t.strictSame(await seqs(stateDir, { tool: 'a' }), []);
  t.strictSame(await seqs(stateDir, { run: 'r' }), []);
  t.strictSame(await seqs(stateDir, { kind: 'intent' }), []);
});

t.test('lines that are no entries are counted, an unfinished one is not yet one', async (t) => {
  const stateDir = await mixedLog(t);
  const last = logFiles(await snapshot(stateDir)).at(-1) ?? '';
  await appendFile(join(stateDir, last), 'garbage\n{"seq":41,');
  t.match(await readAudit(stateDir, {}), { entries: { length: 40 }, more: false, unreadable: 1 });
});

t.test('no log, no entries', async (t) => {
  const stateDir = await tempStateDir(t);
  t.strictSame(await readAudit(stateDir), { entries: [], more: false, unreadable: 0 });
  await rm(stateDir, { recursive: true });
  t.strictSame((await readAudit(stateDir, { order: 'newest' })).entries, []);
});

async function exported(stateDir: string, query: AuditQuery, format: 'jsonl' | 'csv'): Promise<string> {
  let text = '';
  for await (const piece of exportAudit(stateDir, query, format)) text += piece;
  return text;
}

t.test('the export as JSON lines is the log, byte for byte', async (t) => {
  const stateDir = await mixedLog(t);
  const files = await snapshot(stateDir);
  const log = logFiles(files)
    .map((path) => files.get(path)?.toString())
    .join('');
  t.equal(await exported(stateDir, {}, 'jsonl'), log);
  t.equal((await exported(stateDir, { afterSeq: 38 }, 'jsonl')).split('\n').length, 3);
});

t.test('the export as CSV quotes, and defuses formulas', async (t) => {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir);
  for (const tool of ['plain', 'with "quotes", and comma', '=1+1', '@x', '-a', '+b'])
    log.write({ ...intentRecord(1), tool } as never);
  log.write({ kind: 'daemon', event: 'start', detail: {} });
  log.write(stageRecord(1));
  await log.close();
  const rows = (await exported(stateDir, {}, 'csv')).split('\r\n');
  t.equal(rows[0], 'seq,at,kind,tool,run,boot_id,daemon,record,mac');
  t.match(rows[1], /^1,2026-01-02T03:04:05\.\d+Z,intent,plain,run1,boot-1,daemon-1,"\{""kind"":""intent"",/);
  t.match(rows[2], /,intent,"with ""quotes"", and comma",run1,/);
  t.strictSame(
    rows.slice(3, 7).map((row) => row.split(',')[3]),
    ["'=1+1", "'@x", "'-a", "'+b"],
  );
  t.match(rows[7], /,daemon,,,boot-1,/);
  t.equal(rows.length, 10);
});
