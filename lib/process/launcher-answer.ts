/** The instructions for a launcher (daemon/bin/governor), in the order in which it must carry them out. Pure. */

export interface LaunchAnswer {
  /** Words of `governor run …` before the command itself, `--` included. */
  readonly skip: number;
  /** Variables to add or change. */
  readonly variables: Readonly<Record<string, string>>;
  /** Open-file limits to lower, where they are above; applies to every process of the tool. */
  readonly openFiles: { readonly soft: number | null; readonly hard: number | null };
  /** File with the whole environment, where a shell could not pass it on; null otherwise. */
  readonly environmentFile: string | null;
  /** Words in front of the command. */
  readonly prefix: readonly string[];
  /** Lines for the person at the terminal, before the tool starts. */
  readonly notices: readonly string[];
}

export function answerGo(answer: LaunchAnswer): readonly string[] {
  const lines = [`skip ${answer.skip}`];
  for (const [name, value] of Object.entries(answer.variables)) lines.push(`set ${name}=${value}`);
  if (answer.openFiles.soft !== null) lines.push(`soft ${answer.openFiles.soft}`);
  if (answer.openFiles.hard !== null) lines.push(`hard ${answer.openFiles.hard}`);
  if (answer.environmentFile !== null) lines.push(`environment ${answer.environmentFile}`);
  for (const notice of answer.notices) lines.push(`say ${notice}`);
  // The launcher puts each word in front of what it has, so the last one goes first.
  for (const word of answer.prefix.toReversed()) lines.push(`prefix ${word}`);
  lines.push('go');
  return lines;
}

export function answerDie(code: 125 | 126 | 127, message: string): readonly string[] {
  return [`die ${code} ${message}`];
}

/** @param document what the launcher writes to stderr as it is; one line */
export function answerProblem(code: 125 | 126 | 127, document: string): readonly string[] {
  return [`problem ${code} ${document}`];
}

/** True when a shell would lose a variable of this environment: dash drops names that are no identifiers. */
export function needsEnvironmentFile(environment: readonly string[]): boolean {
  return environment.some((entry) => !/^[A-Za-z_][A-Za-z0-9_]*=/.test(entry) && entry.includes('='));
}

/** The environment for the file: as it was, with the additions, NUL-separated as in /proc/PID/environ. */
export function environmentText(environment: readonly string[], variables: Readonly<Record<string, string>>): string {
  const kept = environment.filter(
    (entry) => !Object.hasOwn(variables, entry.slice(0, Math.max(0, entry.indexOf('=')))),
  );
  return [...kept, ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)].join('\0');
}

/**
 * Limits on open files for a new tool: hard at the emergency stage, soft only where it would lie above that.
 * @param current RLIMIT_NOFILE of the launcher
 * @param capCount the hard maximum, or null without a limit
 */
export function openFileChange(
  current: { readonly soft: number; readonly hard: number } | null,
  capCount: number | null,
): { readonly soft: number | null; readonly hard: number | null } {
  if (current === null || capCount === null || current.hard <= capCount) return { soft: null, hard: null };
  return { soft: current.soft > capCount ? capCount : null, hard: capCount };
}
