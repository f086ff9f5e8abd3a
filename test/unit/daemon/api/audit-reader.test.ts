/** The real audit log behind the real routes. */

import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createAuditReader } from '../../../../daemon/api/audit-reader.ts';
import type { AuditKind } from '../../../../lib/core/audit-record.ts';
import { openAuditLog } from '../../../../lib/observe/audit-log.ts';
import { overUnix, serve } from './serve.ts';

t.test('entries by tool, kind and page; verify tells a changed line', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rm(stateDir, { recursive: true }));
  const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.UTC(2026, 0, 31, 12) };
  const log = await openAuditLog({ stateDir, clock, bootId: 'boot', daemon: 'daemon0' });
  const served = await serve(t, { audit: createAuditReader(stateDir, () => log.flush()) });
  for (const tool of ['echo', 'other', 'echo']) {
    log.write({ kind: 'lifecycle', tool, from: 'registered', to: 'active', event: 'activate' });
  }
  log.write({ kind: 'daemon', event: 'start', detail: {} });

  const list = async (
    query: string,
  ): Promise<readonly { readonly seq: number; readonly kind: AuditKind; readonly tool?: string }[]> =>
    (await overUnix(served, `/v1/audit?${query}`)).json['entries'] as never;
  t.strictSame(
    (await list('')).map(({ seq }) => seq),
    [1, 2, 3, 4],
    'what is queued is read too',
  );
  t.strictSame(
    (await list('tool=echo')).map(({ seq }) => seq),
    [1, 3],
  );
  t.strictSame(
    (await list('kind=daemon')).map(({ seq }) => seq),
    [4],
  );
  t.strictSame(
    (await list('after=2&limit=1')).map(({ seq }) => seq),
    [3],
  );
  t.strictSame(await list('until=2026-01-31T12:00:00Z'), []);
  t.equal((await list('since=2026-01-31T13:00:00%2B01:00')).length, 4);
  t.equal((await overUnix(served, '/v1/audit?limit=3')).json['next'], 3);
  t.equal((await overUnix(served, '/v1/audit?limit=4')).json['next'], null);

  t.strictSame((await overUnix(served, '/v1/audit/verify')).json, { ok: true, entries: 4, findings: [] });
  const [file = ''] = await readdir(join(stateDir, 'audit'));
  await appendFile(join(stateDir, 'audit', file), '{"seq":5}\n');
  const broken = (await overUnix(served, '/v1/audit/verify')).json as {
    ok: boolean;
    findings: readonly { line: number }[];
  };
  t.equal(broken.ok, false);
  t.equal(broken.findings[0]?.line, 5);
});

t.test('no log at all does not pass as a good one', async (t) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rm(stateDir, { recursive: true }));
  const report = await createAuditReader(stateDir, async () => undefined).verify();
  t.equal(report.ok, false);
  t.match(report.findings, [{ file: 'audit', kind: 'missing' }]);
});
