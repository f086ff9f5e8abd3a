/** The tool of the survivors bench: a leaky server behind npx, and who of it is still there. */

import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { cleanEnvironment } from '../../helpers/daemon.ts';
import { fixtureEnvironment, fixturePath, newMarker } from '../../helpers/fixture.ts';
import { type Heard, listen } from '../../helpers/heard.ts';
import { isAlive, killSurvivors, type Survivor, survivors } from '../../helpers/survivors.ts';
import { pause } from '../../helpers/wait-for.ts';
import type { Bench } from './bench.ts';

export type Manner = 'polite' | 'stubborn';

/** Behind npx: npm exec → sh -c → node, which starts child, group, setsid and daemon. */
export const LAYERS = ['npx', '--no-install', 'leaky-server'] as const;

/** A folder in which `npx --no-install leaky-server` finds the fixture, without any network. */
export function leakyFolder(bench: Bench): string {
  const folder = mkdtempSync(join(tmpdir(), 'governor-test-'));
  bench.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const bin = join(folder, 'node_modules/.bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"name":"bench","version":"1.0.0","private":true}');
  writeFileSync(join(bin, 'leaky-server'), `#!/bin/sh\nexec ${process.execPath} ${fixturePath('leaky-server')} "$@"\n`);
  chmodSync(join(bin, 'leaky-server'), 0o755);
  return folder;
}

export function leakyCommand(manner: Manner): readonly string[] {
  return [...LAYERS, ...(manner === 'stubborn' ? ['--', '--stubborn'] : [])];
}

export interface Leaky {
  readonly marker: string;
  readonly members: readonly Survivor[];
  readonly roles: ReadonlyMap<number, string>;
}

export function leakyEnvironment(
  extra: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> & { readonly marker?: never } {
  return { ...cleanEnvironment(), ...extra, npm_config_update_notifier: 'false' } as Readonly<Record<string, string>>;
}

/** A client process that starts these words. */
export async function startClient(
  bench: Bench,
  words: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly client: ChildProcess; readonly tool: Leaky }> {
  const marker = newMarker();
  bench.teardown(() => killSurvivors(marker));
  const client = spawn(process.execPath, [join(import.meta.dirname, 'client.js')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  bench.teardown(() => void client.kill('SIGKILL'));
  const [command, ...args] = words;
  client.stdin.on('error', () => undefined);
  client.stdin.write(
    `${JSON.stringify({ command, args, cwd, env: { ...env, ...fixtureEnvironment(marker, 90_000) } })}\n`,
  );
  return { client, tool: await known(marker, listen(client.stdout, words.join(' '))) };
}

/** Waits until the server has started its four and finds out who is who. */
export async function known(marker: string, heard: Pick<Heard, 'said'> | null): Promise<Leaky> {
  const said = heard === null ? {} : await heard.said('ready', 60_000);
  await pause(300);
  const roles = new Map<number, string>();
  for (const [role, pid] of Object.entries(said))
    if (typeof pid === 'number') roles.set(pid, role === 'pid' ? 'server' : role);
  return { marker, members: survivors(marker), roles };
}

export interface Left {
  readonly names: readonly string[];
  /** From the action to nobody alive; null when somebody is. */
  readonly ms: number | null;
}

/**
 * Looks closely until nobody is left or the time is over. Once those that are known are gone, the whole of /proc is
 * searched: for others, and for threads of a killed process that take a moment longer than their leader.
 */
export async function leftAfter(tool: Leaky, startedMs: number, withinMs: number): Promise<Left> {
  for (;;) {
    const ms = performance.now() - startedMs;
    const over = ms > withinMs;
    if (over || !tool.members.some(isAlive)) {
      const left = survivors(tool.marker);
      if (left.length === 0) return { names: [], ms };
      if (over) return { names: left.map((one) => nameOf(one, tool.roles)), ms: null };
    }
    await pause(2);
  }
}

function nameOf({ pid, command }: Survivor, roles: ReadonlyMap<number, string>): string {
  const role = roles.get(pid);
  if (role !== undefined) return role;
  if (/npm exec|npx/.test(command)) return 'npx';
  if (/^sh |^\/bin\/sh /.test(command)) return 'sh';
  if (/sleep/.test(command)) return 'sleep';
  const [program = '', script = ''] = command.split(' ');
  return `${basename(program)} ${basename(script)}`;
}
