/** Commands about tools. */

import { Option } from 'commander';
import type { Command } from 'commander';
import { RESOURCES } from '../../lib/core/resource.ts';
import { addRunHelp, CONNECT_HELP } from './program-help.ts';
import { numeric, optional, strings, wholeNumber } from './program-options.ts';
import type { Act, Add } from './program-options.ts';

export function addToolCommands(program: Command, add: Add, act: Act): void {
  addRunHelp(program);
  const ls = add(program, 'ls', 'list the tools with their runs, and what ended lately').alias('ps');
  ls.argument('[name]', 'tool');
  ls.option('-v, --verbose', 'limits with origin and reason, usage, processes');
  ls.option('-a, --all', 'every ended run that is kept');
  act(ls, async (session, { positional, options }) =>
    (await import('./commands/list.ts')).list(session, {
      name: optional(positional[0]),
      verbose: options['verbose'] === true,
      all: options['all'] === true,
    }),
  );
  const usage = add(program, 'usage', 'usage against limits, for all tools or one').argument('[name]', 'tool');
  usage.option('-v, --verbose', 'every run by itself; why a reading is not there');
  act(usage, async (session, { positional, options }) =>
    (await import('./commands/usage.ts')).usage(session, optional(positional[0]), options['verbose'] === true),
  );
  const history = add(program, 'history', 'what a tool has used over time, also one that is gone').argument(
    '<name>',
    'tool',
  );
  history
    .addOption(new Option('--resource <resource>', 'only this one').choices([...RESOURCES]))
    .option('--run <id>', 'only this run')
    .option('--since <time>', 'from this time on: ISO 8601, or a duration back from now (6h)')
    .option('--until <time>', 'up to this time')
    .option('--step <duration>', 'one value for so long (10s)')
    .option('--csv', 'one line a step');
  act(history, async (session, { positional, options }) =>
    (await import('./commands/history.ts')).history(session, String(positional[0]), {
      resource: optional(options['resource']),
      run: optional(options['run']),
      since: optional(options['since']),
      until: optional(options['until']),
      step: optional(options['step']),
      csv: options['csv'] === true,
    }),
  );
  const recommend = add(program, 'recommend', 'limits that would fit what tools have used, and why');
  recommend.argument('[name]', 'tool; with the YAML to paste');
  act(recommend, async (session, { positional }) =>
    (await import('./commands/recommend.ts')).recommend(session, optional(positional[0])),
  );
  const start = add(program, 'start', 'start a run of a tool').argument('<name>', 'tool');
  start.option('--context <id>', 'who the run is for');
  act(start, async (session, { positional, options }) =>
    (await import('./commands/lifecycle.ts')).start(session, String(positional[0]), optional(options['context'])),
  );
  const stop = add(program, 'stop', 'stop a tool, or one of its runs, and clean up after it').argument(
    '<name[/run]>',
    'tool or run',
  );
  act(stop, async (session, { positional }) =>
    (await import('./commands/lifecycle.ts')).stop(session, String(positional[0])),
  );
  const restart = add(program, 'restart', 'stop a tool, or one of its runs, and start it again').argument(
    '<name[/run]>',
    'tool or run',
  );
  act(restart, async (session, { positional }) =>
    (await import('./commands/lifecycle.ts')).restart(session, String(positional[0])),
  );
  const connect = add(program, 'connect', 'speak MCP with a tool of the daemon over stdin and stdout').argument(
    '<name>',
    'tool',
  );
  connect.option('--context <label>', 'whose usage it is; those of one label share what they hold');
  connect.addHelpText('after', CONNECT_HELP);
  act(connect, async (session, { positional, options }) =>
    (await import('./commands/connect.ts')).connect(session, String(positional[0]), optional(options['context'])),
  );
  const login = add(program, 'login', 'sign in at the server of a tool with auth: browser').argument('<name>', 'tool');
  login
    .option('--port <port>', 'of the address that the browser is sent back to', wholeNumber(1, 65_535))
    .option('--paste', 'the browser is on another machine: read the address that it ends at from stdin');
  act(login, async (session, { positional, options }) =>
    (await import('./commands/login.ts')).login(session, String(positional[0]), {
      port: numeric(options['port']) ?? 0,
      paste: options['paste'] === true,
    }),
  );
  const logout = add(program, 'logout', 'drop the sign-in of a tool and revoke its tokens').argument('<name>', 'tool');
  act(logout, async (session, { positional }) =>
    (await import('./commands/login.ts')).logout(session, String(positional[0])),
  );
  const set = add(program, 'set', 'change limits of a tool at once')
    .argument('<name>', 'tool')
    .argument('<key=value...>', 'limits');
  set.addHelpText(
    'after',
    '\nKeys: memory cpu file_handles sockets runtime temp_storage tasks. `none` lifts a limit.\n\nExample:\n  governor set everything memory=512MiB cpu=50% runtime=none\n',
  );
  act(set, async (session, { positional }) =>
    (await import('./commands/set.ts')).set(session, String(positional[0]), strings(positional[1])),
  );
  const logs = add(program, 'logs', 'last lines that a tool of the daemon wrote to stderr').argument('<name>', 'tool');
  logs.option('-n, --lines <count>', 'how many lines', wholeNumber(1, 10_000), 100);
  act(logs, async (session, { positional, options }) =>
    (await import('./commands/logs.ts')).logs(session, String(positional[0]), Number(options['lines'])),
  );
}
