/** Completion for bash 4 and later. */

import { SHELL_NAMES, pathsOf, shellQuote, spellings, type CompletionCommand } from './completion-tree.ts';

export function bashCompletion(commands: readonly CompletionCommand[]): string {
  return `# bash completion for governor; load it with: source <(governor completion bash)

# Names of tools may have spaces and quotes: they are matched line by line and quoted for the command line.
_governor_tools() {
  local name
  while IFS= read -r name; do
    [[ $name == "$1"* ]] && COMPREPLY+=("$(printf '%q' "$name")")
  done < <(governor \${_governor_state_dir:+"--state-dir=$_governor_state_dir"} complete-names 2>/dev/null)
}

_governor() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  local path= word index=1 expects= positional=0 _governor_state_dir=
  COMPREPLY=()
  while ((index < COMP_CWORD)); do
    word=\${COMP_WORDS[index]}
    if [[ -n $expects ]]; then
      [[ $expects == --state-dir ]] && _governor_state_dir=$word
      expects=
    elif [[ $path == run && ( $word == -- || $word != -* ) ]]; then
      positional=1
      break
    else
      case "$path $word" in
${commands.flatMap(valueCases).join('\n')}
${commands
  .filter(({ path }) => path.length > 0)
  .flatMap(pathCases)
  .join('\n')}
        *" "-*) ;;
        *) ((positional += 1)) ;;
      esac
    fi
    ((index += 1))
  done
  if [[ $path == run && $positional -gt 0 ]]; then
    # What follows belongs to the command that is run.
    if declare -F _command_offset >/dev/null; then _command_offset "$index"; return; fi
    COMPREPLY=($(compgen -f -- "$cur"))
    return
  fi
  if [[ -n $expects ]]; then
    case "$path $expects" in
${commands.flatMap(valueCompletions).join('\n')}
    esac
    return
  fi
  case "$path" in
${commands.map(wordCompletions).join('\n')}
  esac
}

complete -F _governor governor`;
}

/** `ls` read after nothing makes the path `ls`; `show` after `audit` makes it `audit show`. */
function pathCases(command: CompletionCommand): readonly string[] {
  const parent = command.path.slice(0, -1).join(' ');
  const path = command.path.join(' ');
  return [command.path.at(-1) ?? '', ...command.aliases].map(
    (name) => `        ${shellQuote(`${parent} ${name}`)}) path=${shellQuote(path)} ;;`,
  );
}

function valueCases(command: CompletionCommand): readonly string[] {
  const names = command.options.filter(({ value }) => value !== null).flatMap(spellings);
  if (names.length === 0) return [];
  return [
    `        ${names.map((name) => shellQuote(`${command.path.join(' ')} ${name}`)).join(' | ')}) expects=$word ;;`,
  ];
}

function valueCompletions(command: CompletionCommand): readonly string[] {
  return command.options.flatMap((option) => {
    const action = valueAction(option.value, option.choices);
    if (action === null) return [];
    const patterns = spellings(option).map((name) => shellQuote(`${command.path.join(' ')} ${name}`));
    return [`      ${patterns.join(' | ')}) ${action} ;;`];
  });
}

function valueAction(value: CompletionCommand['options'][number]['value'], choices: readonly string[]): string | null {
  switch (value) {
    case 'file':
      return 'COMPREPLY=($(compgen -f -- "$cur"))';
    case 'directory':
      return 'COMPREPLY=($(compgen -d -- "$cur"))';
    case 'tool':
      return '_governor_tools "$cur"';
    case 'choice':
      return `COMPREPLY=($(compgen -W ${shellQuote(choices.join(' '))} -- "$cur"))`;
    case 'text':
    case null:
      return null;
  }
}

function wordCompletions(command: CompletionCommand): string {
  const options = command.options.flatMap(spellings).filter((name) => name.startsWith('--'));
  const words = command.subcommands.map(({ name }) => name);
  const argument = argumentAction(command.argument);
  return [
    `    ${pathsOf(command).map(shellQuote).join(' | ')})`,
    `      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W ${shellQuote(options.join(' '))} -- "$cur"))`,
    ...(argument === null ? [] : [`      elif ((positional == 0)); then ${argument}`]),
    ...(words.length === 0
      ? []
      : [`      elif ((positional == 0)); then COMPREPLY=($(compgen -W ${shellQuote(words.join(' '))} -- "$cur"))`]),
    '      fi',
    '      ;;',
  ].join('\n');
}

function argumentAction(argument: CompletionCommand['argument']): string | null {
  switch (argument) {
    case 'tool':
      return '_governor_tools "$cur"';
    case 'file':
      return 'COMPREPLY=($(compgen -f -- "$cur"))';
    case 'shell':
      return `COMPREPLY=($(compgen -W '${SHELL_NAMES}' -- "$cur"))`;
    case 'command':
      return 'COMPREPLY=($(compgen -c -- "$cur"))';
    case null:
      return null;
  }
}
