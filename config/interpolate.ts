/** `${NAME}`, `${NAME:-default}` and `$$` in environment values of limits.yaml. Messages never contain a value. */

export type Environment = Readonly<Record<string, string | undefined>>;

export interface InterpolationProblem {
  /** What it is about as it was written: `${NAME`, `$NAME` or `${`. */
  readonly written: string;
  /** How many times `written` came before it in the text. */
  readonly occurrence: number;
  readonly message: string;
  readonly hint: string;
}

export interface Interpolated {
  readonly text: string;
  readonly problems: readonly InterpolationProblem[];
}

/** More in one value are left out: each needs a look at all of the text. */
const MOST_PROBLEMS = 16;

const TOKEN = /\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}|\$\{|\$[A-Za-z_][A-Za-z0-9_]*/g;

/** The default of `:-` holds when the variable is not set or empty, as in a shell. */
export function interpolate(source: string, environment: Environment): Interpolated {
  const problems: InterpolationProblem[] = [];
  const text = source.replace(
    TOKEN,
    (
      token: string,
      name: string | undefined,
      mark: string | undefined,
      fallback: string | undefined,
      offset: number,
    ) => {
      if (token === '$$') return '$';
      const problem = (written: string, message: string, hint: string): string => {
        if (problems.length < MOST_PROBLEMS) {
          const occurrence = source.slice(0, offset).split(written).length - 1;
          problems.push({ written, occurrence, message, hint });
        }
        return '';
      };
      if (token === '${')
        return problem(
          token,
          '"${" does not begin a variable',
          'write ${NAME} or ${NAME:-default}, or $${ for the characters themselves',
        );
      if (name === undefined)
        return problem(
          token,
          `"${token}" is not replaced`,
          `write \${${token.slice(1)}}, or $${token} for the characters themselves`,
        );
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
      if (mark !== undefined) return value === undefined || value === '' ? (fallback ?? '') : value;
      return (
        value ??
        problem(`\${${name}`, `the environment variable ${name} is not set`, `set it, or write \${${name}:-default}`)
      );
    },
  );
  return { text, problems };
}
