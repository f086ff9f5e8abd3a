/** Completion for zsh. */

import {
  SHELL_NAMES,
  pathsOf,
  shellQuote,
  spellings,
  type CompletionCommand,
  type CompletionOption,
} from './completion-tree.ts';

export function zshCompletion(commands: readonly CompletionCommand[]): string {
  return `#compdef governor
# zsh completion for governor; load it with: source <(governor completion zsh)

_governor_tools() {
  local -a names
  names=(\${(f)"$(governor complete-names 2>/dev/null)"})
  compadd -a names
}

# ($path itself is special in zsh: it is PATH.)
_governor_at() {
  case "$1" in
${commands.map(branch).join('\n')}
  esac
}

_governor() {
  _governor_at ''
}

compdef _governor governor`;
}

function branch(command: CompletionCommand): string {
  const specs = command.options.flatMap(optionSpecs);
  const head = `    ${pathsOf(command).map(shellQuote).join(' | ')})`;
  if (command.subcommands.length === 0) {
    return [
      head,
      `      _arguments -s -S ${[...specs, ...argumentSpecs(command)].join(' \\\n        ')}`,
      '      ;;',
    ].join('\n');
  }
  const described = command.subcommands.map(({ name, description }) =>
    shellQuote(`${name}:${description.replaceAll(':', '\\:')}`),
  );
  const prefix = command.path.length === 0 ? '' : `${command.path.join(' ')} `;
  return [
    head,
    '      local curcontext=$curcontext state line',
    '      typeset -A opt_args',
    `      _arguments -C -s ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(' \\\n        ')}`,
    '      case $state in',
    `        command) local -a commands; commands=(${described.join(' ')}); _describe command commands ;;`,
    `        rest) _governor_at ${prefix === '' ? '"$line[1]"' : `"${prefix}$line[1]"`} ;;`,
    '      esac',
    '      ;;',
  ].join('\n');
}

/** `'(-v --verbose)'{-v,--verbose}'[text]'` as two plain specs, one a spelling. */
function optionSpecs(option: CompletionOption): readonly string[] {
  const names = spellings(option);
  const exclusive = names.length > 1 ? `(${names.join(' ')})` : '';
  const description = option.description.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  return names.map((name) => {
    const spelled = option.value !== null && name.startsWith('--') ? `${name}=` : name;
    return shellQuote(`${exclusive}${spelled}[${description}]${valueSpec(option)}`);
  });
}

function valueSpec(option: CompletionOption): string {
  switch (option.value) {
    case 'file':
      return ':file:_files';
    case 'directory':
      return ':directory:_files -/';
    case 'tool':
      return ':tool:_governor_tools';
    case 'choice':
      return `:value:(${option.choices.join(' ')})`;
    case 'text':
      return ':value: ';
    case null:
      return '';
  }
}

function argumentSpecs(command: CompletionCommand): readonly string[] {
  switch (command.argument) {
    case 'tool':
      return ["'1:tool:_governor_tools'"];
    case 'file':
      return ["'1:file:_files'"];
    case 'shell':
      return [`'1:shell:(${SHELL_NAMES})'`];
    case 'command':
      return ["'(-)1:command: _command_names -e'", "'*::argument: _normal'"];
    case null:
      return [];
  }
}
