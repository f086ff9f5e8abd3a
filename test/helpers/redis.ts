/** A real redis-server on a socket of its own, without a file on disk, ended at the end of the test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TestScope } from './fixture.ts';
import { temporaryDirectory } from './temp-directory.ts';
import { waitFor } from './wait-for.ts';
import { connect } from 'node:net';

export interface RedisServer {
  /** For `redisLevel`. */
  readonly url: string;
  readonly pid: number;
  /** It takes no command until `resume`, and its connections stay. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
  /** Again, empty, at the same place. */
  start(): Promise<void>;
  /** One command in inline form; the reply as Redis sent it. */
  raw(command: string): Promise<string>;
}

export async function startRedis(t: TestScope): Promise<RedisServer> {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'redis.sock');
  let child: ChildProcess | null = null;

  const stop = async (): Promise<void> => {
    const running = child;
    child = null;
    if (running === null || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise((resolve) => {
      running.once('exit', resolve);
    });
    running.kill('SIGCONT');
    running.kill('SIGKILL');
    await ended;
  };
  const start = async (): Promise<void> => {
    const settings = ['--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', directory];
    child = spawn('redis-server', settings, { stdio: 'ignore' });
    await waitFor('redis-server to answer', async () => (await raw('PING')).startsWith('+PONG'));
  };
  const raw = (command: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect(path);
      let reply = '';
      socket.setEncoding('utf8').on('data', (text: string) => (reply += text));
      socket.on('error', reject);
      socket.on('close', () => resolve(reply));
      socket.end(`${command}\r\nQUIT\r\n`);
    });
  t.teardown(stop);
  await start();
  return {
    url: `unix://${path}`,
    get pid() {
      return child?.pid ?? 0;
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    stop,
    start,
    raw,
  };
}
