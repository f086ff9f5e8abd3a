import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { intentRecord, openTestLog, stageRecord, tempStateDir } from '../../observe/audit-fixture.ts';
import { governor, temporaryFolder, type Outcome } from './harness.ts';

interface Log {
  readonly stateDir: string;
  readonly file: string;
  readonly cli: (...words: string[]) => Promise<Outcome>;
}

/** Ten entries: 1 to 9 of stages, the tenth an intent. The log's clock starts at 2026-01-02T03:04:05Z. */
async function auditLog(t: Parameters<typeof tempStateDir>[0]): Promise<Log> {
  const stateDir = await tempStateDir(t);
  const log = await openTestLog(stateDir);
  for (let index = 1; index < 10; index += 1) log.write(stageRecord(index));
  log.write(intentRecord(10));
  await log.close();
  return {
    stateDir,
    file: join(stateDir, 'audit', 'audit-000000000001.jsonl'),
    cli: (...words) => governor(['audit', ...words], { env: { GOVERNOR_STATE_DIR: stateDir } }),
  };
}

t.test('audit show', async (t) => {
  const { cli, stateDir, file } = await auditLog(t);
  const all = await cli('show');
  t.match(all, { code: 0, err: /^$/ });
  const lines = all.out.trimEnd().split('\n');
  t.equal(lines.length, 11);
  t.match(lines[0], /^SEQ +AT +KIND +TOOL +RUN +WHAT$/);
  t.match(
    lines[1],
    /^ +1 +2026-01-02T03:04:05\.\d+Z +stage +odd tööl +run0000001 +resource=memory from=normal to=warning usage=801 /,
  );
  t.match(lines[10], /^ +10 .* intent +odd tööl .*target=\{"pid":10,/);
  t.notMatch(all.out, 'mac=');
  const newest = JSON.parse((await cli('show', '-n', '2', '--json')).out) as { entries: { seq: number }[] };
  t.same(
    newest.entries.map(({ seq }) => seq),
    [9, 10],
    'the newest, oldest first',
  );
  const seqs = async (...words: string[]): Promise<number[]> =>
    (JSON.parse((await cli('show', '--json', ...words)).out) as { entries: { seq: number }[] }).entries.map(
      ({ seq }) => seq,
    );
  t.same(await seqs('--tool', 'even "tool"'), [2, 4, 6, 8]);
  t.same(await seqs('--kind', 'intent'), [10]);
  t.same(await seqs('--run', 'run0000003'), [3]);
  t.same(await seqs('--since', '2026-01-02T03:04:06Z'), []);
  t.same((await seqs('--since', '2026-01-02')).length, 10);
  t.same((await seqs('--since', '365d', '--until', '2026-01-02T03:04:06Z')).length, 10);
  t.same(await seqs('--until', '1h', '--since', '2h'), [], 'a duration counts back from now');
  t.match(await cli('show', '--tool', 'nobody'), { code: 0, out: `No entries of the audit match in ${stateDir}.\n` });
  appendFileSync(file, 'not an entry\n');
  t.match(await cli('show'), { code: 0, err: 'governor: 1 lines could not be read; see: governor audit verify\n' });
});

t.test('audit verify', async (t) => {
  const { cli, stateDir, file } = await auditLog(t);
  t.match(await cli('verify'), {
    code: 0,
    out: `ok: 10 lines in 1 files are as they were written, entries 1 to 10 (${stateDir})\n`,
  });
  t.same(JSON.parse((await cli('verify', '--json')).out), { ok: true, entries: 10, findings: [] });
  writeFileSync(file, readFileSync(file, 'utf8').replace('"usage":805', '"usage":5'));
  const broken = await cli('verify');
  t.match(broken, { code: 1, err: /^$/ });
  t.match(broken.out, /^BROKEN: \d+ problems; \d lines are proven/);
  t.match(broken.out, /^ {2}audit\/audit-000000000001\.jsonl:5: changed: /m);
  t.match(JSON.parse((await cli('verify', '--json')).out), { ok: false, findings: [{ line: 5, kind: 'changed' }] });
  rmSync(file);
  t.match(await cli('verify'), { code: 1, out: /^ {2}audit: cut_off: /m });
});

t.test('an empty place does not pass as a good audit', async (t) => {
  const folder = temporaryFolder(t);
  const words = ['audit', 'verify', '--state-dir', folder];
  t.match(await governor(words), { code: 1, out: /^BROKEN: 1 problem; .*\n {2}there is no audit log in / });
  t.match(JSON.parse((await governor([...words, '--json'])).out), {
    ok: false,
    entries: 0,
    findings: [{ kind: 'missing' }],
  });
});

t.test('audit export', async (t) => {
  const { cli, file } = await auditLog(t);
  const exported = await cli('export');
  t.equal(exported.code, 0);
  t.same(
    exported.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  );
  t.equal((await cli('export', '--json')).out, exported.out);
  const csv = await cli('export', '--format', 'csv', '--kind', 'intent');
  t.match(csv.out, /^seq,at,kind,tool,run,[^\n]*\r\n10,2026-01-02T03:04:05\.\d+Z,intent,odd tööl,[^\n]*\r\n$/);
});

t.test('the audit cannot be read', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'audit'), 'no directory');
  t.match(await governor(['audit', 'show', '--state-dir', folder]), {
    code: 1,
    err: /^governor: cannot read the audit of .*ENOTDIR/,
  });
});

t.test('config check', async (t) => {
  const folder = temporaryFolder(t);
  const good = join(folder, 'good.yaml');
  writeFileSync(good, 'version: 1\ntools:\n  a:\n    command: ${COMMAND}\n');
  t.match(await governor(['config', 'check', good], { env: { COMMAND: 'true' } }), {
    code: 0,
    out: `${good}: valid\n`,
    err: /^$/,
  });
  const bad = join(folder, 'bad.yaml');
  writeFileSync(
    bad,
    'version: 1\nclasses:\n  standard: { memory: 512M }\ntools:\n  a: { command: "true", adaptive: yes }\n',
  );
  const { code, out, err } = await governor(['config', 'check', bad]);
  t.match({ code, out }, { code: 1, out: /^$/ });
  t.match(err.split('\n')[0], new RegExp(`^${bad}:3:23: .*512M.*write 512MiB or 512MB`));
  t.match(err.split('\n')[1], new RegExp(`^${bad}:5:\\d+: .*adaptive`));
  t.match(JSON.parse((await governor(['config', 'check', bad, '--json'])).out), {
    ok: false,
    problems: [{ where: { line: 3, column: 23 } }, {}],
  });
  t.match(await governor(['config', 'check', join(folder, 'none.yaml')]), { code: 1, err: /none\.yaml/ });
});

t.test('doctor probes for itself and leaves nothing', async (t) => {
  const { code, out } = await governor(['doctor'], { env: { GOVERNOR_STATE_DIR: temporaryFolder(t) } });
  t.match(out, /^kernel .*; no daemon is running: probed with the rights of this user$/m);
  for (const resource of ['memory', 'cpu', 'file_handles', 'sockets', 'runtime', 'temp_storage', 'tasks']) {
    t.match(out, new RegExp(`^${resource} +\\S.* (kernel|polled|observed|none) `, 'm'));
  }
  t.equal(code, /^fail /m.test(out) ? 1 : 0);
  for (const hierarchy of ['/sys/fs/cgroup', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/unified']) {
    t.notOk(
      listing(hierarchy).some((name) => name.includes(`doctor${process.pid}`)),
      hierarchy,
    );
  }
  t.match(await governor(['doctor', '--state-dir', '/proc/nowhere']), {
    code: 1,
    out: /^fail +state +nothing can be written in \/proc: (?!E[A-Z]+)[a-z ]+$/m,
  });
  const document = JSON.parse(
    (await governor(['doctor', '--json'], { env: { GOVERNOR_STATE_DIR: temporaryFolder(t) } })).out,
  );
  t.match(document, { backend: String, capabilities: Array, checks: [{ state: 'ok', title: 'Node' }] });
  for (const kind of ['groups', 'temp'])
    t.match(document.leftovers[kind], { dead: { paths: Array }, unknown: { paths: Array } }, kind);
});

function listing(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
