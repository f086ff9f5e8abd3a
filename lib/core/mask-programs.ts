/** Values that only the program they are given to makes secret: environment variables and `user:password`. */

const ENVIRONMENT_PROGRAM = /^(env|cross-env)$/;
const CONTAINER_PROGRAM = /^(docker|podman|nerdctl)$/;
/** Of `env`: the next word is a value, and neither a variable nor the command. */
const ENVIRONMENT_FLAG_WITH_VALUE = /^(-u|-C|--unset|--chdir)$/;
export const ASSIGNMENT = /^[A-Za-z_]\w*=(?=.)/s;
/** Of docker, podman, systemd-run, and of many programs that start others. */
const ENVIRONMENT_FLAG = /^(-e|-E|--env|--setenv)$/;
const ENVIRONMENT_FLAG_ASSIGNMENT = /^--(env|setenv)=[A-Za-z_]\w*=(?=.)/s;
const GLUED_ASSIGNMENT = /^-e[A-Za-z_]\w*=(?=.)/s;
/** Elsewhere `-endpoint=…` is a flag of its own. */
const GLUED_UPPER_CASE_ASSIGNMENT = /^-[eE][A-Z_][A-Z0-9_]*=(?=.)/s;
const CURL_USER_FLAG = /^(-[A-Za-z#]*[uU]|--user|--proxy-user)$/;
const CURL_USER = /^(-[uU])?[^:]*:(?=.)/s;

/** For each word how many of its units may be shown, where its program says that the rest is a secret; else null. */
export function shownUnits(argv: readonly string[]): (number | null)[] {
  let isEnvironment = false;
  let isContainer = false;
  let isCurl = false;
  return argv.map((word, index) => {
    const before = argv[index - 1] ?? '';
    const name = word.slice(word.lastIndexOf('/') + 1);
    if (isEnvironment) {
      const assigned = lengthOf(ASSIGNMENT, word);
      if (assigned !== null) return assigned;
      // Its flags, and the words that belong to them, come before the command.
      isEnvironment = /^-|^$|^[A-Za-z_]\w*=/.test(word) || ENVIRONMENT_FLAG_WITH_VALUE.test(before);
    }
    if (ENVIRONMENT_PROGRAM.test(name)) isEnvironment = true;
    if (CONTAINER_PROGRAM.test(name)) isContainer = true;
    if (name === 'curl') isCurl = true;
    if (isCurl && (CURL_USER_FLAG.test(before) || /^-[uU]./s.test(word))) return lengthOf(CURL_USER, word);
    if (ENVIRONMENT_FLAG.test(before)) return lengthOf(ASSIGNMENT, word);
    return (
      lengthOf(ENVIRONMENT_FLAG_ASSIGNMENT, word) ??
      lengthOf(isContainer ? GLUED_ASSIGNMENT : GLUED_UPPER_CASE_ASSIGNMENT, word)
    );
  });
}

function lengthOf(pattern: RegExp, word: string): number | null {
  return pattern.exec(word)?.[0].length ?? null;
}
