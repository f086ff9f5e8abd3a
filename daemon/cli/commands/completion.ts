/** `governor completion bash|zsh|fish`, made from the command tree, and the names of tools that those scripts ask for. */

import type { Command, Option } from 'commander';
import { GovernorError } from '../../../lib/core/errors.ts';
import { quote } from '../../../config/notation.ts';
import type { ToolView } from '../../../lib/supervisor/views.ts';
import { createClient } from '../client.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { usageError } from '../usage-error.ts';
import { bashCompletion } from '../completion-bash.ts';
import { fishCompletion } from '../completion-fish.ts';
import { zshCompletion } from '../completion-zsh.ts';
import type { CompletionCommand, CompletionOption } from '../completion-tree.ts';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export async function completion(session: Session, program: Command, shell: string): Promise<ExitCode> {
  if (!Object.hasOwn(SHELLS, shell)) {
    return usageError(
      session,
      'completion',
      `there is none for ${quote(shell)}; shells: ${Object.keys(SHELLS).join(', ')}`,
    );
  }
  session.print(SHELLS[shell as keyof typeof SHELLS](commandTree(program)));
  return EXIT.ok;
}

/** A shell waits for this while a person types, so nothing is said and little is waited for. */
const PATIENCE_MS = 500;

export async function completeNames(session: Session): Promise<ExitCode> {
  try {
    const reply = await createClient(session.locations()).get('/v1/tools', { timeoutMs: PATIENCE_MS });
    const { tools } = reply.body as { readonly tools: readonly ToolView[] };
    session.print(...tools.map(({ name }) => name));
  } catch (error) {
    if (!(error instanceof GovernorError)) throw error;
  }
  return EXIT.ok;
}

/** Every command that is shown in the help, with its path: `[]`, `['ls']`, `['audit', 'show']`. */
function commandTree(program: Command): readonly CompletionCommand[] {
  const walk = (command: Command, path: readonly string[]): readonly CompletionCommand[] => {
    const help = command.createHelp();
    const children = help.visibleCommands(command).filter((child) => child.name() !== 'help');
    const first = command.registeredArguments[0];
    const own: CompletionCommand = {
      path,
      description: command.description(),
      aliases: command.aliases(),
      subcommands: children.flatMap((child) =>
        [child.name(), ...child.aliases()].map((name) => ({ name, description: child.description() })),
      ),
      options: help.visibleOptions(command).map(completionOption),
      argument: first === undefined ? (path[0] === 'run' ? 'command' : null) : argumentKind(first.name()),
    };
    return [own, ...children.flatMap((child) => walk(child, [...path, child.name()]))];
  };
  return walk(program, []);
}

function argumentKind(name: string): CompletionCommand['argument'] {
  if (name.startsWith('name')) return 'tool';
  if (name === 'shell') return 'shell';
  return 'file';
}

function completionOption(option: Option): CompletionOption {
  const takesValue = option.required || option.optional;
  const name = option.long?.replace(/^--/, '') ?? '';
  return {
    long: option.long ?? null,
    short: option.short ?? null,
    description: option.description,
    value: !takesValue ? null : option.argChoices !== undefined ? 'choice' : (VALUE_KINDS[name] ?? 'text'),
    choices: option.argChoices ?? [],
  };
}

const VALUE_KINDS: Readonly<Record<string, 'file' | 'directory' | 'tool'>> = {
  config: 'file',
  'state-dir': 'directory',
  tool: 'tool',
  name: 'tool',
};
