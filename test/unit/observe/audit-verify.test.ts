import { createHmac, randomBytes } from 'node:crypto';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { GENESIS, sealHead } from '../../../lib/observe/audit-chain.ts';
import { formatVerifyProblem, type VerifyReport, verifyAudit } from '../../../lib/observe/audit-verify.ts';
import {
  linesOf,
  logFiles,
  openTestLog,
  restore,
  type Snapshot,
  snapshot,
  stageRecord,
  tempStateDir,
  writeLog,
} from './audit-fixture.ts';

const LINES = 50;
/** So that 50 lines need 3 files. */
const MAX_FILE_BYTES = 10_500;

interface Place {
  readonly file: string;
  readonly index: number;
}

async function healthyLog(test: { teardown(fn: () => Promise<void>): unknown }): Promise<{
  readonly stateDir: string;
  readonly healthy: Snapshot;
  readonly files: readonly string[];
  readonly places: readonly Place[];
  linesIn(file: string): Buffer[];
  spoil(changes: Readonly<Record<string, readonly Buffer[] | null>>): Promise<VerifyReport>;
}> {
  const stateDir = await tempStateDir(test);
  await writeLog(stateDir, LINES, MAX_FILE_BYTES);
  const healthy = await snapshot(stateDir);
  const files = logFiles(healthy);
  const linesIn = (file: string): Buffer[] => [...linesOf(healthy.get(file) ?? Buffer.alloc(0))];
  const places = files.flatMap((file) => linesIn(file).map((_line, index) => ({ file, index })));
  return {
    stateDir,
    healthy,
    files,
    places,
    linesIn,
    async spoil(changes) {
      const spoilt = new Map(healthy);
      for (const [file, lines] of Object.entries(changes)) {
        if (lines === null) spoilt.delete(file);
        else spoilt.set(file, Buffer.concat(lines));
      }
      await restore(stateDir, spoilt);
      return verifyAudit(stateDir);
    },
  };
}

/** All that does not hold of a report that has to name this place. */
function faults(
  report: VerifyReport,
  kinds: readonly string[],
  place?: { readonly file: string; readonly line: number },
): string[] {
  const found: string[] = [];
  if (report.ok || report.problemCount === 0) found.push('was not found');
  const { first } = report;
  if (first === null || !kinds.includes(first.kind))
    found.push(`first is ${JSON.stringify(first)}, not ${kinds.join('|')}`);
  if (place !== undefined && (first?.file !== place.file || first.line !== place.line)) {
    found.push(`first is at ${first?.file}:${first?.line}, not ${place.file}:${place.line}`);
  }
  return found;
}

t.test('a healthy log verifies', async (t) => {
  const { stateDir, files, places } = await healthyLog(t);
  t.equal(files.length, 3);
  t.equal(places.length, LINES);
  const report = await verifyAudit(stateDir);
  t.match(report, { ok: true, lines: LINES, files: 3, fromSeq: 1, toSeq: LINES, first: null, problemCount: 0 });
  t.equal(report.head?.seq, LINES);
  t.strictSame(report.notes, []);
});

t.test('no log at all is no fault, and said', async (t) => {
  const report = await verifyAudit(await tempStateDir(t));
  t.match(report, { ok: true, lines: 0, toSeq: null });
  t.match(report.notes[0], /there is no audit log/);
});

t.test('every single line that is deleted is found', async (t) => {
  const { places, linesIn, spoil, files } = await healthyLog(t);
  const bad: string[] = [];
  for (const { file, index } of places) {
    const lines = linesIn(file);
    lines.splice(index, 1);
    const report = await spoil({ [file]: lines });
    const isLast = file === files.at(-1) && index === lines.length;
    const wanted = isLast ? ['cut_off'] : ['missing', 'file_renamed'];
    bad.push(...faults(report, wanted).map((fault) => `${file}:${index + 1} ${fault}`));
  }
  t.strictSame(bad, []);
});

t.test('every swap of neighbours is found, at the first of the two', async (t) => {
  const { places, linesIn, spoil } = await healthyLog(t);
  const bad: string[] = [];
  for (const { file, index } of places) {
    const lines = linesIn(file);
    const [one, two] = [lines[index], lines[index + 1]];
    if (one === undefined || two === undefined) continue;
    lines.splice(index, 2, two, one);
    const report = await spoil({ [file]: lines });
    const kinds = index === 0 ? ['file_renamed', 'missing'] : ['reordered'];
    bad.push(...faults(report, kinds, { file, line: index + 1 }).map((fault) => `${file}:${index + 1} ${fault}`));
  }
  t.strictSame(bad, []);
});

t.test('a swap over the border of two files is found', async (t) => {
  const { files, linesIn, spoil } = await healthyLog(t);
  const [first = '', second = ''] = files;
  const [a, b] = [linesIn(first), linesIn(second)];
  const [last, next] = [a.pop(), b.shift()];
  if (last === undefined || next === undefined) throw new Error('no lines');
  const report = await spoil({ [first]: [...a, next], [second]: [last, ...b] });
  t.strictSame(faults(report, ['reordered'], { file: first, line: a.length + 1 }), []);
});

t.test('every line that is duplicated is found, next to it and at the end', async (t) => {
  const { places, linesIn, spoil, files } = await healthyLog(t);
  const bad: string[] = [];
  for (const { file, index } of places) {
    const lines = linesIn(file);
    const line = lines[index] ?? Buffer.alloc(0);
    const beside = await spoil({ [file]: lines.toSpliced(index, 0, line) });
    bad.push(
      ...faults(beside, ['duplicated'], { file, line: index + 2 }).map((fault) => `${file}:${index + 1} ${fault}`),
    );
    const last = files.at(-1) ?? '';
    const atEnd = await spoil({ [last]: [...linesIn(last), line] });
    bad.push(...faults(atEnd, ['duplicated']).map((fault) => `${file}:${index + 1} at the end ${fault}`));
  }
  t.strictSame(bad, []);
});

t.test('a changed byte is found wherever it is', async (t) => {
  const { places, linesIn, spoil } = await healthyLog(t);
  const bad: string[] = [];
  for (const [number, { file, index }] of places.entries()) {
    const lines = linesIn(file);
    const line = Buffer.from(lines[index] ?? Buffer.alloc(0));
    // Over the 50 lines every region of a line gets its turn; the line break itself is left to the next test.
    const at = Math.floor(((number + 0.5) / places.length) * (line.length - 1));
    line[at] = (line[at] ?? 0) ^ 1;
    const report = await spoil({ [file]: lines.toSpliced(index, 1, line) });
    bad.push(
      ...faults(report, ['changed', 'malformed'], { file, line: index + 1 }).map(
        (fault) => `${file}:${index + 1}@${at} ${fault}`,
      ),
    );
  }
  t.strictSame(bad, []);
});

t.test('every byte of one line is covered', async (t) => {
  const { files, linesIn, spoil } = await healthyLog(t);
  const file = files[1] ?? '';
  const lines = linesIn(file);
  const original = lines[3] ?? Buffer.alloc(0);
  const bad: string[] = [];
  for (let at = 0; at < original.length; at += 1) {
    const line = Buffer.from(original);
    line[at] = line[at] === 0xff ? 0x20 : 0xff;
    const report = await spoil({ [file]: lines.toSpliced(3, 1, line) });
    bad.push(...faults(report, ['changed', 'malformed'], { file, line: 4 }).map((fault) => `byte ${at} ${fault}`));
  }
  t.strictSame(bad, []);
});

t.test('white space that JSON would not mind is a change', async (t) => {
  const { files, linesIn, spoil } = await healthyLog(t);
  const file = files[0] ?? '';
  const lines = linesIn(file);
  const spaced = Buffer.from((lines[4] ?? '').toString().replace(',"at"', ', "at"'));
  t.strictSame(faults(await spoil({ [file]: lines.toSpliced(4, 1, spaced) }), ['changed'], { file, line: 5 }), []);
});

t.test('truncation at every byte of the last line is found', async (t) => {
  const { files, linesIn, spoil } = await healthyLog(t);
  const file = files.at(-1) ?? '';
  const lines = linesIn(file);
  const last = lines.at(-1) ?? Buffer.alloc(0);
  const bad: string[] = [];
  for (let length = 0; length < last.length; length += 1) {
    const report = await spoil({ [file]: lines.toSpliced(-1, 1, last.subarray(0, length)) });
    const kinds = length === 0 ? ['cut_off'] : ['torn'];
    bad.push(...faults(report, kinds, { file, line: lines.length }).map((fault) => `${length} bytes left: ${fault}`));
  }
  t.strictSame(bad, []);
});

t.test('a tail of any length that is cut off is found', async (t) => {
  const { files, places, linesIn, spoil } = await healthyLog(t);
  const bad: string[] = [];
  for (let kept = 0; kept < LINES; kept += 1) {
    const changes = Object.fromEntries(
      files.map((file) => {
        const ofFile = linesIn(file).filter(
          (_line, index) => places.findIndex((place) => place.file === file && place.index === index) < kept,
        );
        return [file, ofFile.length === 0 ? null : ofFile];
      }),
    );
    const report = await spoil(changes);
    bad.push(...faults(report, ['cut_off']).map((fault) => `${kept} lines kept: ${fault}`));
    if (report.lines !== kept) bad.push(`${kept} lines kept: ${report.lines} counted`);
  }
  t.strictSame(bad, []);
});

t.test('every whole file that is removed is found', async (t) => {
  const { files, spoil } = await healthyLog(t);
  const kinds = [['missing'], ['missing'], ['cut_off']];
  for (const [index, file] of files.entries())
    t.strictSame(faults(await spoil({ [file]: null }), kinds[index] ?? []), [], file);
  const all = await spoil(Object.fromEntries(files.map((file) => [file, null])));
  t.strictSame(faults(all, ['cut_off']), []);
});

t.test('files whose names are swapped are found', async (t) => {
  const { files, linesIn, spoil } = await healthyLog(t);
  const [first = '', second = ''] = files;
  t.strictSame(
    faults(await spoil({ [first]: linesIn(second), [second]: linesIn(first) }), ['file_renamed'], {
      file: first,
      line: 1,
    }),
    [],
  );
});

t.test('a log that was computed anew with another key is found, with its head', async (t) => {
  const { stateDir, healthy, files, linesIn } = await healthyLog(t);
  const other = randomBytes(32);
  const forged = new Map(healthy);
  let tip = GENESIS;
  for (const file of files) {
    const lines = linesIn(file).map((line) => {
      const { seq, mac: _mac, prev: _prev, ...rest } = JSON.parse(line.toString()) as Record<string, unknown>;
      const body = JSON.stringify({ seq, ...rest, prev: tip.mac }).slice(0, -1);
      const mac = createHmac('sha256', other).update(tip.mac).update('\n').update(body).digest('hex');
      tip = { seq: Number(seq), mac };
      return `${body},"mac":"${mac}"}\n`;
    });
    forged.set(file, Buffer.from(lines.join('')));
  }
  await restore(stateDir, forged);
  const withOldHead = await verifyAudit(stateDir);
  t.strictSame(faults(withOldHead, ['changed'], { file: files[0] ?? '', line: 1 }), []);
  t.equal(withOldHead.lines, 0);
  forged.set('audit.head', Buffer.from(sealHead(other, tip)));
  await restore(stateDir, forged);
  const report = await verifyAudit(stateDir);
  t.ok(report.problems.some(({ kind }) => kind === 'head_forged'));
  t.equal(report.problems.length <= 100, true);
  t.ok(report.problemCount > LINES);
});

t.test('the head: missing, forged, and as the daemon knows it', async (t) => {
  const { stateDir, healthy } = await healthyLog(t);
  await rm(join(stateDir, 'audit.head'));
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'head_missing', file: 'audit.head', line: null } });
  await writeFile(join(stateDir, 'audit.head'), '{"seq":3,"mac":"00","seal":"00"}');
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'head_forged' } });
  await restore(stateDir, healthy);
  const head = (await verifyAudit(stateDir)).head ?? GENESIS;
  t.equal((await verifyAudit(stateDir, { expected: head })).ok, true);
  t.match(await verifyAudit(stateDir, { expected: { ...head, seq: head.seq + 1 } }), {
    ok: false,
    first: { kind: 'cut_off' },
  });
  t.match(await verifyAudit(stateDir, { expected: { ...head, mac: 'other' } }), {
    ok: false,
    first: { kind: 'head_mismatch' },
  });
});

t.test('a log that was rolled back together with its head and written on is found by who knows better', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 5);
  const old = await snapshot(stateDir);
  await writeLog(stateDir, 5);
  const known = (await verifyAudit(stateDir)).head ?? GENESIS;
  await restore(stateDir, old);
  t.equal((await verifyAudit(stateDir)).ok, true, 'the files alone cannot show it');
  t.match(await verifyAudit(stateDir, { expected: known }), { ok: false, first: { kind: 'cut_off' } });
  const log = await openTestLog(stateDir, { daemon: 'daemon-2' });
  for (let index = 0; index < 9; index += 1) log.write(stageRecord(index));
  await log.close();
  t.match(await verifyAudit(stateDir, { expected: known }), {
    ok: false,
    first: { kind: 'head_mismatch', line: known.seq },
  });
});

t.test('genuine lines of two branches do not make one chain', async (t) => {
  const stateDir = await tempStateDir(t);
  await writeLog(stateDir, 5);
  const old = await snapshot(stateDir);
  await writeLog(stateDir, 5);
  const file = 'audit/audit-000000000001.jsonl';
  const first = linesOf((await snapshot(stateDir)).get(file) ?? Buffer.alloc(0));
  await restore(stateDir, old);
  const log = await openTestLog(stateDir, { daemon: 'daemon-2' });
  log.write(stageRecord(6));
  await log.close();
  const second = linesOf((await snapshot(stateDir)).get(file) ?? Buffer.alloc(0));
  await writeFile(join(stateDir, file), Buffer.concat([...second, ...first.slice(6)]));
  t.match(await verifyAudit(stateDir), {
    ok: false,
    problemCount: 1,
    first: { kind: 'broken_chain', line: 7, seq: 7 },
  });
});

t.test('the key: missing, damaged, open to others', async (t) => {
  const { stateDir, healthy } = await healthyLog(t);
  await rm(join(stateDir, 'audit.key'));
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'key_missing' } });
  await writeFile(join(stateDir, 'audit.key'), 'short');
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'key_invalid' } });
  await rm(join(stateDir, 'audit.key'));
  await symlink('/dev/zero', join(stateDir, 'audit.key'));
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'key_invalid' } });
  await rm(join(stateDir, 'audit.key'));
  await writeFile(join(stateDir, 'audit.key'), healthy.get('audit.key') ?? '', { mode: 0o644 });
  const report = await verifyAudit(stateDir);
  t.equal(report.ok, true);
  t.match(report.notes[0], /audit\.key has mode 644/);
});

t.test('files that do not belong there are found', async (t) => {
  for (const name of [
    'notes.txt',
    'audit-1.jsonl',
    'audit-000000000001.jsonl.torn-20260101T000000Z',
    'audit-000000000001.jsonl.bak',
  ]) {
    const { stateDir } = await healthyLog(t);
    await writeFile(join(stateDir, 'audit', name), 'x');
    t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'foreign_file', file: `audit/${name}` } }, name);
  }
  const { stateDir } = await healthyLog(t);
  await symlink('audit-000000000001.jsonl', join(stateDir, 'audit', 'audit-000000000999.jsonl'));
  t.match(await verifyAudit(stateDir), { ok: false, first: { kind: 'foreign_file' } }, 'a link is no file of the log');
});

t.test('garbage of any size is read in bounded memory and named', async (t) => {
  const { spoil, files, linesIn } = await healthyLog(t);
  const file = files[2] ?? '';
  const long = await spoil({ [file]: [...linesIn(file), Buffer.alloc(5_000_000, 'x'), Buffer.from('\n')] });
  t.strictSame(faults(long, ['malformed'], { file, line: linesIn(file).length + 1 }), []);
  t.equal(long.lines, LINES);
  const random = await spoil({ [file]: [randomBytes(300_000)] });
  t.equal(random.ok, false);
  const empty = await spoil({ [file]: [...linesIn(file), Buffer.from('\n\n')] });
  t.strictSame(faults(empty, ['malformed']), []);
});

t.test('a problem is told as file:line: kind: message', (t) => {
  const text = formatVerifyProblem({ kind: 'changed', file: 'audit/a.jsonl', line: 7, seq: null, message: 'why' });
  t.equal(text, 'audit/a.jsonl:7: changed: why');
  const whole = formatVerifyProblem({
    kind: 'head_missing',
    file: 'audit.head',
    line: null,
    seq: null,
    message: 'why',
  });
  t.equal(whole, 'audit.head: head_missing: why');
  t.end();
});
