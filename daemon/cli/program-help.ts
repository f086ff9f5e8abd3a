/** Help that is more than a list: the examples, and `run`, whose words commander never reads. */

import type { Command } from 'commander';
import { RUN_FLAGS } from './run-flags.ts';

/** For help and completion; its words are read by run-arguments.ts, because commander would take a tool's own `--json`. */
export function addRunHelp(program: Command): void {
  const run = program
    .command('run')
    .description('run a command as a tool, under supervision, with its stdio untouched')
    .usage('[flags] [--] command [arguments...]')
    .helpCommand(false)
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', RUN_HELP);
  for (const { flag, value, help } of RUN_FLAGS) {
    run.option(value === null ? flag : `${flag} <${value.toLowerCase()}>`, help);
  }
}

export const EXAMPLES = `
Examples:
  governor run -- npx -y @modelcontextprotocol/server-everything   # put a tool under supervision
  governor run --memory 256MiB --cpu 50% -- node server.js         # with its own limits
  governor connect everything                                      # speak MCP with a tool of the daemon
  governor ls                                                      # what runs, and how it is doing
  governor usage everything                                        # usage against limits
  governor set everything memory=512MiB                            # change a limit at once
  governor audit verify                                            # nothing in the audit was changed

Exit codes: 0 done, 1 refused or the answer is no, 2 the command line is not valid,
125 Governor's own failure in \`run\` and \`connect\` (otherwise \`run\` ends with the tool's own exit code).
`;

export const CONNECT_HELP = `
As the command of an MCP server in an editor or agent:
  { "command": "governor", "args": ["connect", "everything"] }

Ends with 0 when stdin ends, 127 when there is no such tool, 125 when the daemon refuses or goes away.
`;

const RUN_HELP = `
Examples:
  governor run -- npx -y @modelcontextprotocol/server-filesystem .
  governor run --name files --memory 256MiB --runtime 10m -- node server.js --port 0
  governor run --detach --context nightly -- ./batch.sh

Flags end at -- or at the first word that is no flag: what follows belongs to the command.
The exit code is the command's own; 125 Governor's own failure, 126 it cannot be run, 127 it was not found.
`;
