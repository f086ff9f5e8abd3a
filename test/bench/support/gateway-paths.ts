/** The ways to the same stdio server that `gateway` compares: directly, through Governor, through gateways from npm. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressOf, cleanEnvironment, LAUNCHER, startDaemon } from '../../helpers/daemon.ts';
import { fixtureCommand, fixtureEnvironment, newMarker } from '../../helpers/fixture.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { pause } from '../../helpers/wait-for.ts';
import type { Bench } from './bench.ts';
import { withDescendants } from './gateway-memory.ts';
import { handshake, httpWire, sseWire, stdioWire, type Wire } from './mcp-wire.ts';

/** One way, ready for calls. */
export interface Opened {
  readonly wire: Wire;
  /** The tool's name on this way. */
  readonly tool: string;
  /** Whose CPU time is between client and server. */
  readonly between: readonly number[];
  close(): Promise<void>;
}

export interface Path {
  readonly name: string;
  readonly governor: boolean;
  open(): Promise<Opened>;
}

const LIFE_MS = 900_000;
const START_MS = 60_000;
/** Everything of this bench carries it. */
export const MARKER = newMarker();
export const [COMMAND, ...ARGS] = fixtureCommand('mcp-echo');
export const ENVIRONMENT = fixtureEnvironment(MARKER, LIFE_MS);
/** For tools of the daemon, which ends them itself: names that begin with GOVERNOR_ are its own. */
export const TOOL_ENVIRONMENT = { FIXTURE_LIFE_MS: String(LIFE_MS) };

export const direct: Path = {
  name: 'direct stdio',
  governor: false,
  async open() {
    const child = spawn(COMMAND, ARGS, {
      env: { ...cleanEnvironment(), ...ENVIRONMENT },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    return opened(await handshake(stdioWire(child)), 'echo', child, []);
  },
};

/** One daemon for all its ways; its tool is up before anything is measured. */
export async function governorPaths(bench: Bench): Promise<readonly Path[]> {
  const daemon = await startDaemon(bench, {
    config: { tools: { echo: { command: COMMAND, args: ARGS, env: TOOL_ENVIRONMENT, sharing: 'shared' } } },
  });
  const { url, token } = addressOf(daemon);
  const http = (path: string, tool: string): Path => ({
    name: `Governor ${path}`,
    governor: true,
    async open() {
      const wire = await handshake(httpWire(new URL(path, url).href, token));
      return { wire, tool, between: [daemon.pid], close: () => wire.close() };
    },
  });
  return [
    http('/mcp/echo', 'echo'),
    http('/mcp', 'echo__echo'),
    {
      name: 'governor connect',
      governor: true,
      async open() {
        const child = spawn(LAUNCHER, ['connect', 'echo'], {
          env: { ...daemon.env },
          stdio: ['pipe', 'pipe', 'ignore'],
        });
        const wire = await handshake(stdioWire(child));
        // The launcher carries the bytes by processes of its own.
        return opened(wire, 'echo', child, [daemon.pid, ...withDescendants(child.pid ?? 0)]);
      },
    },
  ];
}

/** Installed once, into a folder of the user's cache: no dependencies of the project. What cannot be had is listed. */
export function peerPaths(bench: Bench): readonly Path[] {
  const words = [COMMAND, ...ARGS].join(' ');
  const paths: Path[] = [];
  const peer = (spec: string, name: string, make: (bin: string, port: number) => Started): void => {
    const bin = install(bench, spec);
    if (bin === null) return;
    paths.push({ name: `${spec}${name}`, governor: false, open: () => openPeer((port) => make(bin, port)) });
  };
  const http = (port: number): Promise<Wire> => handshake(httpWire(`http://127.0.0.1:${port}/mcp`));
  const proxy =
    (options: readonly string[]) =>
    (bin: string, port: number): Started => ({
      args: [bin, '--port', String(port), '--host', '127.0.0.1', ...options, '--', COMMAND, ...ARGS],
      tool: 'echo',
      connect: () => http(port),
    });
  const gateway =
    (options: readonly string[], connect: (port: number) => Promise<Wire>) =>
    (bin: string, port: number): Started => ({
      args: [bin, '--stdio', words, '--port', String(port), '--logLevel', 'none', ...options],
      tool: 'echo',
      connect: () => connect(port),
    });
  peer('mcp-proxy@6.7.19', '', proxy([]));
  peer('mcp-proxy@6.7.19', ' --no-eventStore', proxy(['--no-eventStore']));
  peer('supergateway@4.0.0', ', stateful', gateway(['--outputTransport', 'streamableHttp', '--stateful'], http));
  peer(
    'supergateway@4.0.0',
    ', SSE',
    gateway(['--outputTransport', 'sse'], async (port) => handshake(await sseWire(`http://127.0.0.1:${port}/sse`))),
  );
  peer('mcp-hub@4.2.1', '', (bin, port) => {
    const folder = mkdtempSync(join(tmpdir(), 'governor-test-'));
    bench.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const config = join(folder, 'servers.json');
    writeFileSync(config, JSON.stringify({ mcpServers: { echo: { command: COMMAND, args: ARGS, env: ENVIRONMENT } } }));
    return {
      args: [bin, '--port', String(port), '--config', config],
      tool: 'echo__echo',
      connect: async () => {
        const wire = await handshake(await sseWire(`http://127.0.0.1:${port}/mcp`));
        const { tools } = await wire.request('tools/list');
        if (tools.length === 0) throw new Error('its server is not up yet');
        return wire;
      },
    };
  });
  return paths;
}

interface Started {
  readonly args: readonly string[];
  readonly tool: string;
  connect(): Promise<Wire>;
}

async function openPeer(make: (port: number) => Started): Promise<Opened> {
  const port = await freePort();
  const { args, tool, connect } = make(port);
  const child = spawn(process.execPath, args, {
    env: { ...cleanEnvironment(), ...ENVIRONMENT },
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const end = performance.now() + START_MS;
  for (;;) {
    try {
      const wire = await connect();
      return opened(wire, tool, child, [child.pid ?? 0]);
    } catch (error) {
      if (performance.now() > end || child.exitCode !== null) {
        child.kill('SIGKILL');
        throw new Error(`it could not be reached: ${String(error)}, exit code ${child.exitCode}`, { cause: error });
      }
      await pause(10);
    }
  }
}

function opened(wire: Wire, tool: string, child: ChildProcess, others: readonly number[]): Opened {
  const gone = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  return {
    wire,
    tool,
    between: others,
    async close() {
      await wire.close();
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 3000);
      await gone;
      clearTimeout(force);
    },
  };
}

/** Whatever is left of the peers and their servers. */
export function endAll(): Promise<void> {
  return killSurvivors(MARKER);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** @returns the program's file, or null with the reason among what was not measured */
function install(bench: Bench, spec: string): string | null {
  const name = spec.slice(0, spec.lastIndexOf('@'));
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const box = join(cache, 'governor-bench', spec);
  const bin = join(box, 'node_modules/.bin', name);
  if (existsSync(bin)) return bin;
  try {
    bench.say(`installing ${spec}`);
    mkdirSync(box, { recursive: true });
    const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
    execFileSync('npm', ['install', '--prefix', box, ...options, spec], {
      cwd: box,
      stdio: 'ignore',
      timeout: 180_000,
    });
    return bin;
  } catch (error) {
    bench.notMeasured(spec, `npm could not install it here: ${String(error).slice(0, 200)}`);
    return null;
  }
}
