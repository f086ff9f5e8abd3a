/** Entry of the command `governor` (daemon/bin/governor): binds the command line to this process. */

import { main } from './cli/main.ts';

const interruption = new AbortController();

// The reader went away (`governor events --follow | head`): there is nobody left to tell, and that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    interruption.abort();
  });
}

process.exitCode = await main(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  platform: process.platform,
  stdout: process.stdout,
  stderr: process.stderr,
  get bytes() {
    // Touched only by who reads it: a stdin that is opened keeps the process.
    return { input: process.stdin, output: process.stdout };
  },
  entry: import.meta.filename,
  now: Date.now,
  interrupted: interruption.signal,
});
