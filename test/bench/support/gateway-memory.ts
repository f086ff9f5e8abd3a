/** Five sessions that use six servers each: every one started for each of them, or shared through Governor. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressOf, cleanEnvironment, LAUNCHER, type RunningDaemon, startDaemon } from '../../helpers/daemon.ts';
import { fixtureEnvironment, newMarker } from '../../helpers/fixture.ts';
import { server, serversMissing } from '../../helpers/npm-servers.ts';
import { killSurvivors, survivors } from '../../helpers/survivors.ts';
import type { Bench } from './bench.ts';
import { handshake, httpWire, stdioWire, type Wire } from './mcp-wire.ts';

const SESSIONS = 5;
const LIFE_MS = 600_000;

export async function memory(bench: Bench): Promise<void> {
  const missing = serversMissing('everything', 'filesystem', 'memory');
  if (missing !== false) return bench.notMeasured('memory', missing);
  const folder = mkdtempSync(join(tmpdir(), 'governor-test-'));
  bench.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const servers: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
    ['one', 'two'].flatMap((copy) => [
      [`everything-${copy}`, [server('everything'), 'stdio']],
      [`filesystem-${copy}`, [server('filesystem'), folder]],
      [`memory-${copy}`, [server('memory')]],
    ]),
  );
  const apart = await directly(bench, servers);
  const shared = await throughGovernor(bench, servers);
  const connected = await throughConnect(bench, servers);
  const row = (what: string, { processes, pssMb }: Found): Record<string, unknown> => ({
    what,
    processes,
    'PSS MB': Math.round(pssMb),
  });
  bench.table(`memory: ${SESSIONS} sessions × ${Object.keys(servers).length} servers, after one tools/list each`, [
    row('each started directly', apart),
    row('Governor, shared, daemon included', shared),
    row('the same by governor connect, all its processes included', connected),
  ]);
  const ofApart = ({ pssMb }: Found): string => `${Math.round((100 * pssMb) / apart.pssMb)} %`;
  bench.check(
    'memory: less than starting each directly',
    shared.pssMb < apart.pssMb && connected.pssMb < apart.pssMb,
    `${ofApart(shared)}; by governor connect ${ofApart(connected)}`,
  );
  return undefined;
}

interface Found {
  readonly processes: number;
  readonly pssMb: number;
}

async function directly(bench: Bench, servers: Readonly<Record<string, readonly string[]>>): Promise<Found> {
  const marker = newMarker();
  bench.teardown(() => killSurvivors(marker));
  const env = { ...cleanEnvironment(), ...fixtureEnvironment(marker, LIFE_MS) };
  for (let session = 0; session < SESSIONS; session += 1) {
    await Promise.all(
      Object.values(servers).map(async (args) => {
        const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'ignore'] });
        await (await handshake(stdioWire(child))).request('tools/list');
      }),
    );
  }
  const found = measured(survivors(marker).map(({ pid }) => pid));
  await killSurvivors(marker);
  return found;
}

function startShared(bench: Bench, servers: Readonly<Record<string, readonly string[]>>): Promise<RunningDaemon> {
  const tools = Object.entries(servers).map(([name, args]) => [
    name,
    { command: process.execPath, args, sharing: 'shared' },
  ]);
  return startDaemon(bench, { config: { tools: Object.fromEntries(tools) } });
}

/** As editors do: a command for each server. */
async function throughConnect(bench: Bench, servers: Readonly<Record<string, readonly string[]>>): Promise<Found> {
  const daemon = await startShared(bench, servers);
  const clients: ChildProcess[] = [];
  for (let session = 0; session < SESSIONS; session += 1) {
    await Promise.all(
      Object.keys(servers).map(async (name) => {
        const child = spawn(LAUNCHER, ['connect', name], { env: daemon.env, stdio: ['pipe', 'pipe', 'ignore'] });
        clients.push(child);
        await (await handshake(stdioWire(child))).request('tools/list');
      }),
    );
  }
  const found = measured([daemon.pid, ...clients.map(({ pid = 0 }) => pid)].flatMap(withDescendants));
  for (const client of clients) client.stdin?.end();
  await daemon.stop();
  return found;
}

async function throughGovernor(bench: Bench, servers: Readonly<Record<string, readonly string[]>>): Promise<Found> {
  const daemon = await startShared(bench, servers);
  const { url, token } = addressOf(daemon);
  const wires: Wire[] = [];
  for (let session = 0; session < SESSIONS; session += 1) {
    const wire = await handshake(httpWire(new URL('/mcp', url).href, token));
    wires.push(wire);
    const { tools } = await wire.request('tools/list');
    // One call to each server, so that each is truly in use.
    for (const name of Object.keys(servers)) {
      const tool = tools.find((each: { name: string }) => each.name.startsWith(`${name}__`));
      if (tool === undefined) throw new Error(`no tools of ${name} in /mcp`);
      // Refused or not: the server is up then.
      await wire.request('tools/call', { name: tool.name, arguments: {} }).catch(() => undefined);
    }
  }
  const found = measured(withDescendants(daemon.pid));
  await Promise.all(wires.map((wire) => wire.close()));
  await daemon.stop();
  return found;
}

/** And its children, and theirs. */
export function withDescendants(pid: number): readonly number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(withDescendants)];
}

/** PSS: what processes share is counted once. */
function measured(pids: readonly number[]): Found {
  const pssKb = pids.map((pid) =>
    Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]),
  );
  return { processes: pids.length, pssMb: (pssKb.reduce((sum, kb) => sum + kb, 0) * 1024) / 1e6 };
}
