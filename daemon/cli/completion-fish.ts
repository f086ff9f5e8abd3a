/** Completion for fish. */

import {
  SHELL_NAMES,
  pathsOf,
  shellQuote,
  spellings,
  type CompletionCommand,
  type CompletionOption,
} from './completion-tree.ts';

export function fishCompletion(commands: readonly CompletionCommand[]): string {
  const withValue = new Set(
    commands.flatMap(({ options }) => options.filter(({ value }) => value !== null).flatMap(spellings)),
  );
  return `# fish completion for governor; save it as ~/.config/fish/completions/governor.fish

function __governor_tools
    governor complete-names 2>/dev/null
end

# True when the words so far, without options and their values, are (exactly) or begin with (under) the given ones.
function __governor_at
    set -l seen
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case ${[...withValue].join(' ')}
                set skip yes
            case '-*'
            case '*'
                set -a seen $word
        end
    end
    set -l how $argv[1]
    set -e argv[1]
    set -l words (count $argv)
    if test $how = exactly
        test "$seen" = "$argv"
    else
        test (count $seen) -ge $words; and test "$seen[1..$words]" = "$argv"
    end
end

complete -c governor -f
${commands.flatMap(lines).join('\n')}`;
}

function lines(command: CompletionCommand): readonly string[] {
  const here = condition(command);
  return [
    ...command.subcommands.map(
      ({ name, description }) => `complete -c governor -n ${fishQuote(here)} -a ${name} -d ${fishQuote(description)}`,
    ),
    ...command.options.map((option) => optionLine(command, option)),
    ...argumentLine(command),
  ];
}

/** A command with subcommands completes only its own words; one without, also what stands after its arguments. */
function condition(command: CompletionCommand): string {
  const how = command.subcommands.length > 0 ? 'exactly' : 'under';
  return pathsOf(command)
    .map((path) => `__governor_at ${how} ${path}`.trimEnd())
    .join('; or ');
}

function optionLine(command: CompletionCommand, option: CompletionOption): string {
  const short = option.short === null ? '' : ` -s ${option.short.slice(1)}`;
  const long = option.long === null ? '' : ` -l ${option.long.slice(2)}`;
  return `complete -c governor -n ${fishQuote(condition(command))}${short}${long}${valueWords(option)} -d ${fishQuote(option.description)}`;
}

function valueWords(option: CompletionOption): string {
  switch (option.value) {
    case 'file':
      return ' -r -F';
    case 'directory':
      return " -x -a '(__fish_complete_directories)'";
    case 'tool':
      return " -x -a '(__governor_tools)'";
    case 'choice':
      return ` -x -a ${fishQuote(option.choices.join(' '))}`;
    case 'text':
      return ' -x';
    case null:
      return '';
  }
}

function argumentLine(command: CompletionCommand): readonly string[] {
  const start = `complete -c governor -n ${fishQuote(condition(command))}`;
  switch (command.argument) {
    case 'tool':
      return [`${start} -a '(__governor_tools)'`];
    case 'file':
      return [`${start} -F`];
    case 'shell':
      return [`${start} -a ${shellQuote(SHELL_NAMES)}`];
    case 'command':
      return [`${start} -a '(__fish_complete_subcommand)'`];
    case null:
      return [];
  }
}

/** In single quotes fish knows only \\' and \\\\ as escapes. */
function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
