/** The audit of a real daemon: what is in it, that it holds over restarts and rotation, and that every change is found. */

import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LAUNCHER, newStateDir, type Outcome, type RunningDaemon, runCommand, startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, startProgram, type TestScope } from '../helpers/fixture.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';

interface Entry {
  readonly seq: number;
  readonly kind: string;
  readonly at: string;
  readonly tool?: string;
  readonly run?: string;
  readonly action?: string;
  readonly event?: string;
  readonly ok?: boolean;
  readonly daemon: string;
  readonly [member: string]: unknown;
}

t.test('a run from its start to its cleanup', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  const tool = startProgram(
    t,
    [LAUNCHER, 'run', '--name', 'stubborn', '--grace', '100ms', '--', ...fixtureCommand('ignore-term')],
    { env: daemon.env, detached: true },
  );
  await tool.said('ready');
  const run = (await daemon.call('GET', '/v1/tools/stubborn')).json.runs[0].id as string;
  t.equal((await daemon.cli(['stop', 'stubborn'])).code, 0);
  const entries = await entriesOf(daemon, `/v1/audit?run=${run}&limit=1000`);
  const place = (kind: string, action?: string): number =>
    entries.findIndex((entry) => entry.kind === kind && (action === undefined || entry.action === action));
  const order = [
    place('lifecycle'),
    place('intent', 'terminate'),
    place('outcome', 'terminate'),
    place('intent', 'delete_temp'),
    place('outcome', 'delete_temp'),
    place('cleanup'),
  ];
  t.ok(
    order.every((index) => index >= 0),
    `each step is there: ${order.join(' ')}`,
  );
  t.same(
    order.toSorted((a, b) => a - b),
    order,
    'in the order of the cleanup, each intent before its outcome',
  );
  t.match(
    entries.find(({ kind, action }) => kind === 'intent' && action === 'terminate'),
    { reason: 'requested', target: { pids: [tool.pid] } },
  );
  t.match(entries.at(order[5] ?? 0), {
    reason: 'requested',
    report: { proven: true, left: {}, held: { processes: 1 } },
  });
  for (const entry of entries) t.match(entry, { run, daemon: /^[0-9a-f]{12}$/, at: /^\d{4}-\d\d-\d\dT.*Z$/ });
  const shown = await daemon.cli(['audit', 'show', '--tool', 'stubborn', '--json']);
  t.equal(shown.code, 0, shown.stderr);
  t.match(shown.stdout, /"delete_temp"/);
  const exported = await daemon.cli(['audit', 'export', '--format', 'csv']);
  t.match(exported, { code: 0, stdout: /\n.*stubborn/ });
});

t.test('rotation, retention and restarts keep one chain', async (t) => {
  const stateDir = newStateDir(t);
  const config = { daemon: { audit: { max_file: '64KiB', keep: 3 } } };
  const daemons = new Set<string>();
  for (const ending of ['SIGINT', 'SIGKILL', 'SIGTERM'] as const) {
    const daemon = await startDaemon(t, { stateDir, config });
    for (let index = 0; index < 150; index += 1) {
      await daemon.call('POST', '/v1/tools', { name: `tool ${index}`, command: 'true' });
      await daemon.call('DELETE', `/v1/tools/tool%20${index}`);
    }
    t.match((await daemon.call('GET', '/v1/audit/verify')).json, { ok: true, findings: [] });
    for (const { daemon: id } of await entriesOf(daemon, '/v1/audit?kind=daemon&limit=1000')) daemons.add(id);
    await daemon.stop(ending);
  }
  t.equal(daemons.size, 3);
  const files = auditFiles(stateDir);
  t.ok(files.length <= 3, `${files.length} files are kept`);
  const last = await startDaemon(t, { stateDir, config });
  t.match((await last.call('GET', '/v1/audit/verify')).json, { ok: true });
  t.ok((await entriesOf(last, '/v1/audit?kind=retention&limit=1000')).length > 0, 'what was let go is on record');
  const pages: Entry[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page = (await last.call('GET', `/v1/audit?limit=97&after=${after}`)).json as {
      entries: Entry[];
      next: number | null;
    };
    pages.push(...page.entries);
    after = page.next;
  }
  const seqs = pages.map(({ seq }) => seq);
  t.same(
    seqs,
    seqs.map((_, index) => (seqs[0] ?? 0) + index),
    'page by page, none is missing and none comes twice',
  );
});

t.test('governor audit verify finds what was done to the log', async (t) => {
  const stateDir = newStateDir(t);
  const daemon = await startDaemon(t, { stateDir });
  for (let index = 0; index < 20; index += 1)
    await daemon.call('POST', '/v1/tools', { name: `tool ${index}`, command: 'true' });
  await daemon.stop();
  t.match(await verify(stateDir), { code: 0 }, 'as it is, also without a daemon');
  const [file = ''] = auditFiles(stateDir);
  const original = readFileSync(join(stateDir, 'audit', file), 'utf8')
    .trimEnd()
    .split('\n');
  const other = newStateDir(t);
  await (await startDaemon(t, { stateDir: other })).stop();
  const foreign = readFileSync(join(other, 'audit', auditFiles(other)[0] ?? ''), 'utf8')
    .trimEnd()
    .split('\n');
  const swap = (lines: readonly string[], a: number, b: number): string[] =>
    lines.map((line, index) => lines[index === a ? b : index === b ? a : index] ?? line);
  const cases: readonly [string, readonly string[], RegExp][] = [
    ['a changed word', original.with(7, (original[7] ?? '').replace('registered', 'unregistere')), /:8: changed/],
    ['a changed time', original.with(7, (original[7] ?? '').replace(/"at":"\d{4}/, '"at":"1999')), /:8: changed/],
    ['a missing line', original.toSpliced(7, 1), /missing/],
    ['two lines in another order', swap(original, 7, 8), /reordered/],
    ['a line twice', original.toSpliced(7, 0, original[7] ?? ''), /duplicated/],
    ['a line of another log', original.with(7, foreign[0] ?? ''), /:8: changed/],
    ['a recomputed tail', [...original.slice(0, 7), ...recomputed(original.slice(7))], /:8: changed/],
    ['the last lines cut off', original.slice(0, -3), /cut_off/],
    ['all lines cut off', [], /cut_off|missing/],
    [
      'half a line at the end',
      [...original.slice(0, -1), (original.at(-1) ?? '').slice(0, 40)],
      /torn|malformed|cut_off/,
    ],
    ['a line that is no entry', original.toSpliced(7, 0, 'hello'), /:8: malformed/],
  ];
  for (const [what, lines, finding] of cases) {
    const copy = copyOf(t, stateDir);
    const text = lines.join('\n');
    writeFileSync(join(copy, 'audit', file), what.startsWith('half') || text === '' ? text : `${text}\n`);
    const outcome = await verify(copy);
    t.equal(outcome.code, 1, what);
    t.match(`${outcome.stdout}${outcome.stderr}`, finding, what);
  }
  t.match(await verify(temporaryDirectory(t)), { code: 1 }, 'no log at all does not pass');
});

/** As somebody would who can write the file but does not have the key: consistent, with a chain of its own. */
function recomputed(lines: readonly string[]): readonly string[] {
  let previous = '0'.repeat(64);
  return lines.map((line) => {
    const mac = previous.replaceAll('0', 'a').split('').toReversed().join('');
    const text = line
      .replace(/"prev":"[0-9a-f]+"/, `"prev":"${previous}"`)
      .replace(/"mac":"[0-9a-f]+"/, `"mac":"${mac}"`);
    previous = mac;
    return text;
  });
}

function verify(stateDir: string): Promise<Outcome> {
  return runCommand(LAUNCHER, ['audit', 'verify', '--state-dir', stateDir], { env: process.env });
}

/** What makes up the log: files, key and head. */
function copyOf(t: TestScope, stateDir: string): string {
  const copy = temporaryDirectory(t);
  mkdirSync(join(copy, 'audit'));
  for (const name of auditFiles(stateDir)) copyFileSync(join(stateDir, 'audit', name), join(copy, 'audit', name));
  for (const entry of readdirSync(stateDir, { withFileTypes: true })) {
    if (entry.isFile() && /audit|head/.test(entry.name))
      copyFileSync(join(stateDir, entry.name), join(copy, entry.name));
  }
  return copy;
}

function auditFiles(stateDir: string): readonly string[] {
  return readdirSync(join(stateDir, 'audit'))
    .filter((name) => name.endsWith('.jsonl'))
    .toSorted();
}

async function entriesOf(daemon: RunningDaemon, path: string): Promise<readonly Entry[]> {
  return (await daemon.call('GET', path)).json.entries as Entry[];
}
