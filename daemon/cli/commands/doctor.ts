/** `governor doctor`: what this host can do for Governor, and what would make it more. */

import { existsSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { GovernorError } from '../../../lib/core/errors.ts';
import type { HostReport } from '../../../lib/os/backend.ts';
import { procfsFacts } from '../../../lib/os/procfs/process-facts.ts';
import { acquireInstanceLock } from '../../../lib/process/instance-lock.ts';
import { BEST_EFFORT } from '../best-effort.ts';
import { possibleTempRoots } from '../../temp-root.ts';
import { createClient } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { GROUPS_TELLING, leftGroups } from '../left-groups.ts';
import { leftTemp, TEMP_TELLING } from '../left-temp.ts';
import { judgeLeftovers, leftoversDocument } from '../leftovers.ts';
import type { Session } from '../session.ts';
import { renderTable, type Cell, type Column } from '../table.ts';
import { printable } from '../text.ts';

/** One thing that was looked at. `fail` is essential: Governor cannot keep its promises without it. */
export interface Check {
  readonly state: 'ok' | 'warn' | 'fail';
  readonly title: string;
  readonly detail: string;
}

export async function doctor(session: Session): Promise<ExitCode> {
  const { report, from } = await hostReport(session);
  const groups = await leftGroups();
  const temp = await leftTemp(possibleTempRoots(), session.terminal.now());
  const checks = [
    ...localChecks(session),
    ...hostChecks(report),
    judgeLeftovers(groups, GROUPS_TELLING),
    judgeLeftovers(temp, TEMP_TELLING),
  ];
  const leftovers = {
    groups: leftoversDocument(groups, GROUPS_TELLING),
    temp: leftoversDocument(temp, TEMP_TELLING),
  };
  if (session.json) session.print(JSON.stringify({ ...report, checks, leftovers }));
  else session.print(...render(session, report, checks, from));
  return checks.some(({ state }) => state === 'fail') ? EXIT.refused : EXIT.ok;
}

/** A running daemon knows best, because it is the one that has the rights; without one this process probes for itself. */
async function hostReport(session: Session): Promise<{ report: HostReport; from: string }> {
  try {
    const reply = await createClient(session.locations()).get('/v1/host');
    return { report: reply.body as HostReport, from: 'asked the running daemon' };
  } catch (error) {
    if (!(error instanceof GovernorError) || (error.code !== 'daemon_unreachable' && error.code !== 'state_dir'))
      throw error;
  }
  return { report: await probe(), from: 'no daemon is running: probed with the rights of this user' };
}

async function probe(): Promise<HostReport> {
  const { selectBackend } = await import('../../../lib/os/select.ts');
  const tempRoot = mkdtempSync(join(tmpdir(), 'governor-doctor-'));
  // As a daemon has it: what a doctor leaves that is killed can be told to be left.
  const lock = await acquireInstanceLock(tempRoot, { pid: process.pid, startTicks: 0 }, procfsFacts);
  try {
    const { backend, report } = await selectBackend({ instance: lock.instance, tempRoot, probeAll: true });
    await backend.close();
    return report;
  } finally {
    lock.release();
    rmSync(tempRoot, { recursive: true, force: true });
  }
}

function localChecks(session: Session): readonly Check[] {
  return [nodeCheck(), stateDirCheck(session)];
}

const LEAST_NODE = 20;

function nodeCheck(): Check {
  const major = Number(process.versions.node.split('.')[0]);
  const detail = `${process.versions.node}${major < LEAST_NODE ? `; ${LEAST_NODE} or later is needed` : ''}`;
  return { state: major < LEAST_NODE ? 'fail' : 'ok', title: 'Node', detail };
}

function stateDirCheck(session: Session): Check {
  const title = 'state';
  let folder = '';
  try {
    const { stateDir } = session.locations();
    folder = stateDir;
    while (!existsSync(folder)) folder = dirname(folder);
    // Tried for real: permissions say little of a read-only or a full file system, and nothing to root.
    rmdirSync(mkdtempSync(join(folder, '.governor-doctor-')));
    return { state: 'ok', title, detail: stateDir };
  } catch (error) {
    if (error instanceof GovernorError) return { state: 'fail', title, detail: error.message };
    return { state: 'fail', title, detail: `nothing can be written in ${folder}: ${systemErrorText(error)}` };
  }
}

/** `permission denied`, where the system has a word for it. */
function systemErrorText(error: unknown): string {
  const { errno } = error as NodeJS.ErrnoException;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return known ?? (error instanceof Error ? error.message : String(error));
}

function hostChecks(report: HostReport): readonly Check[] {
  const none = report.capabilities.filter(({ enforcement }) => enforcement === 'none').map(({ resource }) => resource);
  return [
    {
      state: BEST_EFFORT.has(report.backend) ? 'warn' : 'ok',
      title: 'containment',
      detail: BEST_EFFORT.has(report.backend)
        ? `${report.backend}: best effort, a process that means to escape can; see below for what is in the way of more`
        : `${report.backend}: holds the whole process tree`,
    },
    {
      state: none.length === 0 ? 'ok' : 'fail',
      title: 'limits',
      detail:
        none.length === 0
          ? 'every resource can be held to a limit'
          : `cannot be held to a limit here: ${none.join(', ')}`,
    },
    { state: 'ok', title: 'shared limits', detail: `${report.shared.enforcement}: ${report.shared.detail}` },
    { state: report.native.available ? 'ok' : 'warn', title: 'native', detail: report.native.detail },
  ];
}

const RESOURCE_COLUMNS: readonly Column[] = [
  { title: 'RESOURCE' },
  { title: 'MEASURED BY' },
  { title: 'ENFORCED' },
  { title: 'BY' },
];
const PROBE_COLUMNS: readonly Column[] = [{ title: 'BACKEND' }, { title: 'USABLE' }, { title: 'WHY' }];
const CHECK_COLUMNS: readonly Column[] = [{ title: '' }, { title: '' }, { title: '' }];

function render(session: Session, report: HostReport, checks: readonly Check[], from: string): readonly string[] {
  const { style } = session;
  const paint = { ok: style.good, warn: style.stage('warning'), fail: style.bad } as const;
  const more = report.capabilities.flatMap(({ resource, toGetMore }) =>
    toGetMore === undefined ? [] : [{ resource, toGetMore }],
  );
  return [
    `kernel ${printable(report.kernel)}; ${from}`,
    '',
    ...renderTable(
      CHECK_COLUMNS,
      checks.map((check): readonly Cell[] => [
        { text: check.state, paint: paint[check.state] },
        check.title,
        check.detail,
      ]),
    ).slice(1),
    '',
    ...renderTable(
      RESOURCE_COLUMNS,
      report.capabilities.map(({ resource, measuredBy, enforcement, enforcedBy }): readonly Cell[] => [
        resource,
        measuredBy,
        enforcement,
        enforcedBy,
      ]),
      style.bold,
    ),
    ...(more.length === 0
      ? []
      : [
          '',
          style.bold('To get more:'),
          ...more.map(({ resource, toGetMore }) => `  ${resource}: ${printable(toGetMore)}`),
        ]),
    '',
    ...renderTable(
      PROBE_COLUMNS,
      report.probes.map(({ backend, usable, reason }): readonly Cell[] => [backend, usable ? 'yes' : 'no', reason]),
      style.bold,
    ),
  ];
}
