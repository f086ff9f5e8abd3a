/**
 * A client as an editor is one: starts a tool, holds its stdin and passes its stdout on. The job comes as one line of
 * JSON on stdin, so that neither this process's arguments nor its environment carry the marker of the tool.
 */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

interface Job {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

createInterface({ input: process.stdin }).once('line', (line) => {
  const { command, args, cwd, env } = JSON.parse(line) as Job;
  const child = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdout.pipe(process.stdout);
  child.stdin.on('error', () => undefined);
  process.stdout.on('error', () => undefined);
  child.once('exit', (code, signal) => process.stdout.write(`\nended ${JSON.stringify({ code, signal })}\n`));
  setTimeout(() => process.exit(0), 120_000);
});
