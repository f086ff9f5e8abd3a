/**
 * The command tree: names, arguments, options, help. What a command does is in `commands/`, imported only when it runs,
 * so that `governor ls` loads no more than it needs.
 */

import { Command, Option } from 'commander';
import type { ExitCode } from './exit-codes.ts';
import { EXAMPLES } from './program-help.ts';
import { addGlobalOptions, globalOptions } from './program-options.ts';
import type { Act, Add } from './program-options.ts';
import { addCacheCommands, addRecordCommands } from './program-records.ts';
import { addToolCommands } from './program-tools.ts';
import { createSession, type Terminal } from './session.ts';

/** Called with the exit code of the command that ran. */
type Finish = (code: ExitCode) => void;

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
  const add: Add = (parent, spec, description, hidden = false) => {
    const command = parent
      .command(spec, { hidden })
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .helpCommand(false);
    return addGlobalOptions(command);
  };
  const act: Act = (command, action) => {
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
