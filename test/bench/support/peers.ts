/**
 * The same tool under others: what is at hand from npm or Debian is fetched into a temporary folder, used, and thrown
 * away. Nothing of it is a dependency of the project.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { fixtureEnvironment, newMarker } from '../../helpers/fixture.ts';
import { listen } from '../../helpers/heard.ts';
import { killSurvivors, survivors } from '../../helpers/survivors.ts';
import { waitFor } from '../../helpers/wait-for.ts';
import type { Bench } from './bench.ts';
import { known, leakyCommand, leakyEnvironment, type Leaky, leftAfter, type Manner } from './leaky.ts';

const PM2 = 'pm2@7.0.4';
const TREE_KILL = 'tree-kill@1.2.2';

interface Peer {
  readonly name: string;
  /** Starts the tool; the action ends it. */
  start(
    folder: string,
    manner: Manner,
    marker: string,
  ): Promise<{
    readonly tool: Leaky;
    readonly act: () => Promise<void> | void;
    readonly after?: () => Promise<void> | void;
  }>;
}

/** One row for each action and manner. */
export async function peers(
  bench: Bench,
  folder: string,
  patienceMs: number,
): Promise<readonly Record<string, unknown>[]> {
  const box = mkdtempSync(join(tmpdir(), 'governor-test-'));
  bench.teardown(() => rmSync(box, { recursive: true, force: true }));
  const rows: Record<string, unknown>[] = [];
  for (const peer of [sdk, ...treeKill(bench, box), ...pm2(bench, box), ...tini(bench, box)]) {
    for (const manner of ['polite', 'stubborn'] as const) {
      const marker = newMarker();
      bench.teardown(() => killSurvivors(marker));
      try {
        const { tool, act, after } = await peer.start(folder, manner, marker);
        const startedMs = performance.now();
        await act();
        const left = await leftAfter(tool, startedMs, patienceMs);
        rows.push({
          action: peer.name,
          tool: manner,
          survivors: left.names.length === 0 ? 'none' : left.names.join(', '),
          ms: left.ms ?? 'never',
        });
        bench.say(`${peer.name}, ${manner}: ${left.names.join(', ')}`);
        await killSurvivors(marker);
        await after?.();
      } catch (error) {
        bench.notMeasured(
          `${peer.name}, ${manner}`,
          error instanceof Error ? error.message.slice(0, 300) : String(error),
        );
        await killSurvivors(marker);
      }
    }
  }
  bench.notMeasured(
    'supervisord, monit, mcp-proxy, supergateway, mcp-hub',
    'not at hand here: daemons with configurations of their own; their rows were measured once, outside of this bench',
  );
  return rows;
}

const sdk: Peer = {
  name: 'MCP SDK 2.4, transport.close()',
  async start(folder, manner, marker) {
    const [command = '', ...args] = leakyCommand(manner);
    const transport = new StdioClientTransport({
      command,
      args: [...args],
      cwd: folder,
      env: { ...leakyEnvironment(), ...fixtureEnvironment(marker, 90_000) },
      stderr: 'ignore',
    });
    transport.onerror = () => undefined; // its lines are no JSON-RPC
    await transport.start();
    await waitFor('the server', () => survivors(marker).length >= 6, { timeoutMs: 60_000 });
    return { tool: await known(marker, null), act: () => transport.close() };
  },
};

function spawned(words: readonly string[], folder: string, marker: string, detached = false): ChildProcess {
  const [command = '', ...args] = words;
  const child = spawn(command, args, {
    cwd: folder,
    detached,
    env: { ...leakyEnvironment(), ...fixtureEnvironment(marker, 90_000) },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin?.on('error', () => undefined);
  return child;
}

function treeKill(bench: Bench, box: string): readonly Peer[] {
  const found = install(bench, box, TREE_KILL);
  if (found === null) return [];
  const kill = createRequire(join(box, 'package.json'))('tree-kill') as (pid: number, signal: string) => void;
  return [
    {
      name: `${TREE_KILL}, SIGKILL`,
      async start(folder, manner, marker) {
        const child = spawned(leakyCommand(manner), folder, marker);
        if (child.stdout === null) throw new Error('no stdout');
        const tool = await known(marker, listen(child.stdout, 'npx'));
        return { tool, act: () => kill(child.pid ?? 0, 'SIGKILL') };
      },
    },
  ];
}

function pm2(bench: Bench, box: string): readonly Peer[] {
  if (install(bench, box, PM2) === null) return [];
  const program = join(box, 'node_modules/.bin/pm2');
  const peer = (name: string, act: (home: string, run: (...words: string[]) => void) => void): Peer => ({
    name: `${PM2}, ${name}`,
    async start(folder, manner, marker) {
      const home = mkdtempSync(join(box, 'home-'));
      const env = { ...leakyEnvironment(), PM2_HOME: home };
      const run = (environment: Readonly<Record<string, string>>, words: readonly string[]): void =>
        void execFileSync(program, words, { cwd: folder, env: environment, stdio: 'ignore', timeout: 60_000 });
      // The daemon comes first, without the marker, or it would count as a survivor.
      run(env, ['ping']);
      const [command = '', ...args] = leakyCommand(manner);
      run({ ...env, ...fixtureEnvironment(marker, 90_000) }, [
        'start',
        command,
        '--name',
        'leaky',
        '--no-autorestart',
        '--interpreter',
        'none',
        '--',
        ...args,
      ]);
      await waitFor('the server', () => survivors(marker).length >= 6, { timeoutMs: 60_000 });
      return {
        tool: await known(marker, null),
        act: () => act(home, (...words) => run(env, words)),
        after: () => run(env, ['kill']),
      };
    },
  });
  return [
    peer('stop', (_, run) => run('stop', 'leaky')),
    peer(
      'daemon SIGKILLed',
      (home) => void process.kill(Number(readFileSync(join(home, 'pm2.pid'), 'utf8')), 'SIGKILL'),
    ),
  ];
}

function tini(bench: Bench, box: string): readonly Peer[] {
  const name = 'tini -s -g, SIGTERM';
  try {
    execFileSync('apt-get', ['download', 'tini'], { cwd: box, stdio: 'ignore', timeout: 60_000 });
    const archive = readdirSync(box).find((file) => file.startsWith('tini_'));
    execFileSync('dpkg-deb', ['-x', archive ?? '', join(box, 'tini')], { cwd: box, stdio: 'ignore' });
  } catch (error) {
    bench.notMeasured(name, `Debian's package could not be fetched: ${String(error).slice(0, 200)}`);
    return [];
  }
  const program =
    ['usr/bin/tini', 'usr/bin/tini-static'].map((path) => join(box, 'tini', path)).find((path) => existsSync(path)) ??
    '';
  return [
    {
      name,
      async start(folder, manner, marker) {
        const child = spawned([program, '-s', '-g', '--', ...leakyCommand(manner)], folder, marker);
        if (child.stdout === null) throw new Error('no stdout');
        const tool = await known(marker, listen(child.stdout, 'tini'));
        return { tool, act: () => void child.kill('SIGTERM') };
      },
    },
  ];
}

/** @returns null, with the reason among what was not measured, when the registry does not give it */
function install(bench: Bench, box: string, spec: string): true | null {
  try {
    execFileSync(
      'npm',
      ['install', '--prefix', box, '--no-audit', '--no-fund', '--no-save', '--ignore-scripts', spec],
      { cwd: box, stdio: 'ignore', timeout: 180_000 },
    );
    return true;
  } catch (error) {
    bench.notMeasured(spec, `npm could not install it here: ${String(error).slice(0, 200)}`);
    return null;
  }
}
