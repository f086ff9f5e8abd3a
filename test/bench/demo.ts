/**
 * `npm run demo`: crosses the limit of every resource on purpose, stage by stage, with a real daemon and a program that
 * holds exactly what it is told to, and prints what Governor did, from its audit, and what the client saw.
 */

import { spawn } from 'node:child_process';
import type { TestScope } from '../helpers/fixture.ts';
import { fixtureCommand, fixtureEnvironment, lacksFixture, newMarker } from '../helpers/fixture.ts';
import { auditOf } from '../helpers/audit.ts';
import type { RunningDaemon } from '../helpers/daemon.ts';
import { LAUNCHER, startDaemon } from '../helpers/daemon.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';

interface Climb {
  readonly resource: string;
  readonly word: string | null;
  readonly limit: string;
  /** Levels for 80, 93, 108 and 160 % in the fixture's unit. */
  readonly levels: readonly [number, number, number, number];
}

const CLIMBS: readonly Climb[] = [
  { resource: 'memory', word: 'memory', limit: '128MiB', levels: [102, 119, 138, 205] },
  { resource: 'cpu', word: 'cpu', limit: '40%', levels: [32, 38, 44, 80] },
  { resource: 'file_handles', word: 'files', limit: '100', levels: [72, 86, 101, 153] },
  { resource: 'sockets', word: 'sockets', limit: '50', levels: [40, 47, 54, 80] },
  { resource: 'temp_storage', word: 'temp', limit: '8MiB', levels: [6554, 7619, 8848, 13108] },
  { resource: 'runtime', word: null, limit: '3s', levels: [0, 0, 0, 0] },
];

const teardowns: (() => void | Promise<void>)[] = [];
const scope: TestScope = { teardown: (work) => void teardowns.unshift(work) };

async function main(): Promise<void> {
  const lacking = lacksFixture('stairs');
  if (lacking !== false) throw new Error(lacking);
  // CPU only throttles by default: for this demonstration its higher stages act, and the quota that would keep usage
  // below 100 % is left out. The file handles' brake is left out for the same reason.
  const cpu = { throttled: [], cleanup: ['recycle'], emergency: ['kill'] };
  const tool = (resource: string, jump: boolean): unknown => ({
    command: 'true',
    autostart: false,
    ladder: { cpu_warm_up: '1s' },
    // Who is to reach the emergency stage must not be cleaned up on the way.
    actions: {
      [resource]: {
        ...(resource === 'cpu' ? cpu : { throttled: ['notify'] }),
        ...(jump && resource !== 'runtime' ? { cleanup: [] } : {}),
      },
    },
  });
  const tools = Object.fromEntries(
    CLIMBS.flatMap(({ resource }) => [
      [`demo-${resource}`, tool(resource, false)],
      [`jump-${resource}`, tool(resource, true)],
    ]),
  );
  const daemon = await startDaemon(scope, { config: { daemon: { sample_interval: '200ms' }, tools } });
  const results = await Promise.all(CLIMBS.flatMap((one) => [climb(daemon, one, 'demo'), climb(daemon, one, 'jump')]));
  console.log(results.join('\n'));
}

async function climb(
  daemon: RunningDaemon,
  { resource, word, limit, levels }: Climb,
  kind: 'demo' | 'jump',
): Promise<string> {
  const name = `${kind}-${resource}`;
  const flags = [
    'run',
    '--name',
    name,
    `--${resource.replace('_', '-')}`,
    limit,
    ...(resource === 'runtime' && kind === 'jump' ? ['--grace', '1m'] : []),
  ];
  const stubborn = resource === 'runtime' && kind === 'jump' ? ['--stubborn'] : [];
  const child = spawn(LAUNCHER, [...flags, '--', ...fixtureCommand('stairs', stubborn)], {
    env: { ...daemon.env, ...fixtureEnvironment(newMarker()) },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  const ended = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code}` : `${signal}, exit code ${signal === 'SIGKILL' ? 137 : 143}`),
    ),
  );
  let over = false;
  void ended.then(() => (over = true));
  await waitFor(
    `${name} to be active`,
    async () => (await daemon.call('GET', `/v1/tools/${name}`)).json?.state === 'active',
  );
  for (const level of kind === 'demo' ? levels.slice(0, 3) : levels.slice(3)) {
    if (word === null || over) break;
    child.stdin.write(`${word} ${level}\n`);
    await pause(word === 'cpu' ? 12_000 : 2_500);
  }
  const how = await ended;
  await waitFor(`${name} to be cleaned up`, async () =>
    (await auditOf(daemon, name)).some(({ kind: entry }) => entry === 'cleanup'),
  );
  const entries = await auditOf(daemon, name);
  const stages = entries.filter((entry) => entry['kind'] === 'stage' && entry['resource'] === resource);
  const path = stages
    .map((entry) => `${String(entry['to'])} at ${Math.round(Number(entry['ratio']) * 100)} %`)
    .join(' → ');
  return `${resource.padEnd(13)} limit ${limit.padEnd(7)} ${path}\n${' '.repeat(14)}client saw: ${how}; last line on stderr: ${stderr.trim().split('\n').at(-1) ?? ''}`;
}

try {
  await main();
} finally {
  for (const teardown of teardowns) await teardown();
}
