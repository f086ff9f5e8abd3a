/**
 * The command tree: names, arguments, options, help. What a command does is in `commands/`, imported only when it runs,
 * so that `governor ls` loads no more than it needs.
 */

import { Command, InvalidArgumentError, Option } from 'commander';
import { RESOURCES } from '../../lib/core/resource.ts';
import type { CacheSelection } from './commands/cache.ts';
import type { ExitCode } from './exit-codes.ts';
import { addRunHelp, CONNECT_HELP, EXAMPLES } from './program-help.ts';
import { createSession, type GlobalOptions, type Session, type Terminal } from './session.ts';

/** Called with the exit code of the command that ran. */
type Finish = (code: ExitCode) => void;

const AUDIT_KINDS =
  'daemon, lifecycle, stage, action, intent, outcome, cleanup, limits, budget, anomaly, recovery, sign_in, leak, retention, lost';

/**
 * @param version shown by `--version`
 * @param finish called once with the exit code when a command ran; not for help and version
 */
export function createProgram(terminal: Terminal, version: string, finish: Finish): Command {
  const program = new Command('governor');
  program
    .description('Runs MCP tools under supervision and holds each one to its own limits.')
    .version(version, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'help for a command')
    .helpOption('-h, --help', 'print this help')
    .enablePositionalOptions()
    .addHelpText('after', EXAMPLES);
  /** Adds a command with the global options, whose action gets a session. */
  const add = (parent: Command, spec: string, description: string, hidden = false): Command => {
    const command = parent
      .command(spec, { hidden })
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .helpCommand(false);
    return addGlobalOptions(command);
  };
  const act = (command: Command, action: (session: Session, args: Arguments) => Promise<ExitCode>): void => {
    command.action(async () => {
      const session = createSession(terminal, globalOptions(command));
      finish(
        await action(session, { positional: command.processedArgs as readonly unknown[], options: command.opts() }),
      );
    });
  };
  addGlobalOptions(program);
  addDaemonCommands(program, add, act);
  addToolCommands(program, add, act);
  addRecordCommands(program, add, act);
  addCacheCommands(program, add, act);
  addOtherCommands(program, add, act);
  return program;
}

type Add = (parent: Command, spec: string, description: string, hidden?: boolean) => Command;
type Act = (command: Command, action: (session: Session, args: Arguments) => Promise<ExitCode>) => void;

/** What commander parsed for one command. */
export interface Arguments {
  readonly positional: readonly unknown[];
  readonly options: Readonly<Record<string, unknown>>;
}

function addDaemonCommands(program: Command, add: Add, act: Act): void {
  const daemon = add(program, 'daemon', 'run the daemon in the foreground; Ctrl-C stops it and every tool');
  daemon
    .addOption(new Option('--background', 'as started by ensure-daemon: tools outlive it').hideHelp())
    .addHelpText('after', '\nExamples:\n  governor daemon --config limits.yaml\n  governor daemon stop --all\n');
  act(daemon, async (session, { options }) =>
    (await import('./commands/daemon.ts')).daemon(session, options['background'] === true),
  );
  const stop = add(daemon, 'stop', 'stop the daemon; tools of `governor run` go on, limited, unless --all is given');
  stop.option('--all', 'stop every tool first');
  act(stop, async (session, { options }) =>
    (await import('./commands/daemon.ts')).stopDaemon(session, options['all'] === true),
  );
  const ensure = add(
    program,
    'ensure-daemon',
    'start the daemon when it is not running and wait until it answers',
    true,
  );
  act(ensure, async (session) => (await import('./commands/ensure-daemon.ts')).ensureDaemon(session));
}

function addToolCommands(program: Command, add: Add, act: Act): void {
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

function addRecordCommands(program: Command, add: Add, act: Act): void {
  const events = add(program, 'events', 'what happened since the daemon started');
  events
    .option('-f, --follow', 'go on as it happens')
    .option('--since-id <id>', 'only events after this id', wholeNumber(0, Number.MAX_SAFE_INTEGER));
  act(events, async (session, { options }) =>
    (await import('./commands/events.ts')).events(session, options['follow'] === true, numeric(options['sinceId'])),
  );
  const failures = add(
    program,
    'post-mortem',
    'what a tool was like when it failed; without a name, all that are kept',
  );
  failures.argument('[name[/run]]', 'tool or run');
  act(failures, async (session, { positional }) =>
    (await import('./commands/post-mortem.ts')).postMortem(session, optional(positional[0])),
  );
  const audit = program.command('audit').description('the audit trail; works without a daemon too').helpCommand(false);
  audit.helpOption('-h, --help', 'print this help');
  addGlobalOptions(audit);
  const show = addAuditFilter(add(audit, 'show', 'entries, oldest first'));
  show.option('-n, --limit <count>', 'how many entries at most, the newest', wholeNumber(1, 10_000), 100);
  act(show, async (session, { options }) => (await import('./commands/audit.ts')).show(session, options));
  const verify = add(audit, 'verify', 'check the chain: exit code 1 when an entry was changed, removed or added');
  act(verify, async (session) => (await import('./commands/audit.ts')).verify(session));
  const exported = addAuditFilter(add(audit, 'export', 'every entry to stdout'));
  exported.addOption(new Option('--format <format>', 'JSON lines or CSV').choices(['jsonl', 'csv']).default('jsonl'));
  act(exported, async (session, { options }) => (await import('./commands/audit.ts')).exportAudit(session, options));
}

function addCacheCommands(program: Command, add: Add, act: Act): void {
  const cache = addCacheFilter(add(program, 'cache', 'what is kept of the answers of servers; the same as `cache ls`'));
  cache.addHelpText(
    'after',
    "\nExamples:\n  governor cache ls --tool docs\n  governor cache clear --tool docs --pattern 'file:///{+path}'\n",
  );
  const ls = addCacheFilter(add(cache, 'ls', 'statistics, and the entries in memory, latest used first'));
  for (const command of [cache, ls])
    act(command, async (session) => (await import('./commands/cache.ts')).listCache(session, cacheSelection(command)));
  const clear = addCacheFilter(add(cache, 'clear', 'invalidate entries, all or some, in Redis and other daemons too'));
  act(clear, async (session) => (await import('./commands/cache.ts')).clearCache(session, cacheSelection(clear)));
}

/** Wherever a filter stands: `cache --tool docs clear` must not clear everything. */
function cacheSelection(command: Command): CacheSelection {
  const find = finder(command);
  return { tool: optional(find('tool')), uri: optional(find('uri')), pattern: optional(find('pattern')) };
}

function addCacheFilter(command: Command): Command {
  return command
    .option('--tool <name>', 'only of this tool')
    .option('--uri <uri>', 'only of this resource')
    .option('--pattern <template>', 'only of resources whose URI matches this template (RFC 6570)');
}

function addOtherCommands(program: Command, add: Add, act: Act): void {
  const doctor = add(program, 'doctor', 'what this host can measure and enforce, and how to get more');
  act(doctor, async (session) => (await import('./commands/doctor.ts')).doctor(session));
  const config = program
    .command('config')
    .description('the configuration')
    .helpCommand(false)
    .helpOption('-h, --help', 'print this help');
  addGlobalOptions(config);
  const check = add(config, 'check', 'check a limits.yaml without using it').argument('<file>', 'limits.yaml');
  act(check, async (session, { positional }) =>
    (await import('./commands/config-check.ts')).configCheck(session, String(positional[0])),
  );
  const completion = add(program, 'completion', 'print a completion script').argument('<shell>', 'bash, zsh or fish');
  completion.addHelpText(
    'after',
    '\nExamples:\n  source <(governor completion bash)\n  governor completion fish > ~/.config/fish/completions/governor.fish\n',
  );
  act(completion, async (session, { positional }) =>
    (await import('./commands/completion.ts')).completion(session, program, String(positional[0])),
  );
  const names = add(program, 'complete-names', 'names of tools, one a line, for completion', true);
  act(names, async (session) => (await import('./commands/completion.ts')).completeNames(session));
}

function addGlobalOptions(command: Command): Command {
  return command
    .option('--config <file>', 'limits.yaml (GOVERNOR_CONFIG)')
    .option('--state-dir <dir>', 'state directory (GOVERNOR_STATE_DIR)')
    .option('--listen <address>', 'host:port of REST and metrics (GOVERNOR_LISTEN)')
    .option('--json', 'print the REST document');
}

function addAuditFilter(command: Command): Command {
  return command
    .option('--tool <name>', 'only this tool')
    .option('--run <id>', 'only this run')
    .addOption(new Option('--kind <kind>', 'only this kind of entry').choices(AUDIT_KINDS.split(', ')))
    .option('--since <time>', 'only from this time on: ISO 8601, or a duration back from now (10m)')
    .option('--until <time>', 'only up to this time');
}

/** An option counts wherever it stands, `governor --json ls` and `governor ls --json`; the innermost wins. */
function globalOptions(command: Command): GlobalOptions {
  const find = finder(command);
  return {
    config: optional(find('config')),
    stateDir: optional(find('stateDir')),
    listen: optional(find('listen')),
    json: find('json') === true,
  };
}

function finder(command: Command): (name: string) => unknown {
  const levels: Readonly<Record<string, unknown>>[] = [];
  for (let level: Command | null = command; level !== null; level = level.parent) levels.push(level.opts());
  return (name) => levels.find((level) => level[name] !== undefined)?.[name];
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Write a whole number from ${least} to ${most}.`);
  };
}

function optional(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numeric(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
