/** From nothing to the first list of tools. */

import { spawn } from 'node:child_process';
import { addressOf, LAUNCHER, startDaemon } from '../../helpers/daemon.ts';
import type { Bench } from './bench.ts';
import { ARGS, COMMAND, direct, TOOL_ENVIRONMENT, peerPaths } from './gateway-paths.ts';
import { handshake, httpWire, stdioWire, type Wire } from './mcp-wire.ts';

const AIM_MS = 170;

export async function coldStarts(bench: Bench): Promise<void> {
  const rounds = bench.rounds(5);
  // What was started once is listed from what is kept of it, under any name: each round has servers that nobody has seen.
  const names = Array.from({ length: rounds }, (_, round) => [`connect-${round}`, `http-${round}`]).flat();
  const tool = (name: string): object => ({
    command: COMMAND,
    args: ARGS,
    env: { ...TOOL_ENVIRONMENT, COLD_START: name },
    autostart: false,
  });
  const daemon = await startDaemon(bench, {
    config: { tools: Object.fromEntries(names.map((name) => [name, tool(name)])) },
  });
  const { url, token } = addressOf(daemon);
  const found: Record<'direct' | 'connect' | 'http' | 'again', number[]> = {
    direct: [],
    connect: [],
    http: [],
    again: [],
  };
  for (let round = 0; round < rounds; round += 1) {
    const server = await timed(async () => {
      const { wire, close } = await direct.open();
      return { wire, close };
    });
    found.direct.push(server);
    found.connect.push(
      await timed(async () => {
        const env = { ...daemon.env };
        const child = spawn(LAUNCHER, ['connect', `connect-${round}`], { env, stdio: ['pipe', 'pipe', 'ignore'] });
        const wire = await handshake(stdioWire(child));
        return { wire, close: () => wire.close() };
      }),
    );
    found.http.push(
      await timed(async () => {
        const wire = await handshake(httpWire(new URL(`/mcp/http-${round}`, url).href, token));
        return { wire, close: () => wire.close() };
      }),
    );
  }
  bench.figure('cold start to tools/list: the server itself', 'ms', found.direct);
  const own = found.direct.toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
  const over = (values: readonly number[]): readonly number[] => values.map((value) => value - own);
  found.again.push(
    await timed(async () => {
      const wire = await handshake(httpWire(new URL('/mcp/http-0', url).href, token));
      return { wire, close: () => wire.close() };
    }),
  );
  bench.figure('… over it, governor connect, tool never started', 'ms', over(found.connect), {
    most: AIM_MS,
    of: 'median',
  });
  bench.figure('… over it, Governor /mcp/{tool}, tool never started', 'ms', over(found.http), {
    most: AIM_MS,
    of: 'median',
  });
  bench.figure('Governor /mcp/{tool}, tool known: tools/list without it', 'ms', found.again);
  for (const path of peerPaths(bench)) {
    const values: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      try {
        values.push(await timed(() => path.open()));
      } catch (error) {
        bench.notMeasured(`cold start, ${path.name}`, error instanceof Error ? error.message : String(error));
        break;
      }
    }
    bench.figure(`… over it, ${path.name}, gateway started too`, 'ms', over(values));
  }
}

async function timed(open: () => Promise<{ readonly wire: Wire; close(): Promise<void> }>): Promise<number> {
  const began = performance.now();
  const { wire, close } = await open();
  const { tools } = await wire.request('tools/list');
  const ms = performance.now() - began;
  await close();
  if (tools.length === 0) throw new Error('there are no tools');
  return ms;
}
