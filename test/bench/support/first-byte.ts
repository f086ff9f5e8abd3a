/** From spawn(2) to the first byte that comes back through a program that only copies its input. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** @returns milliseconds; resolves after the program has ended */
export async function firstByteMs(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const startedMs = performance.now();
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.write('x');
  const ended = once(child, 'close');
  const byte = await Promise.race([once(child.stdout, 'data').then(() => performance.now()), ended.then(() => null)]);
  child.stdin.end();
  await ended;
  if (byte === null) throw new Error(`${command} ${args.join(' ')} gave nothing back: ${stderr}`);
  return byte - startedMs;
}
