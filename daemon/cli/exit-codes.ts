/** Exit codes of `governor`. A direct run ends with the tool's own instead. */
export const EXIT = {
  ok: 0,
  /** The request was refused or could not be made, or the answer is no (`audit verify` found a break). */
  refused: 1,
  /** The command line is not valid. */
  usage: 2,
  /** `governor run` and `connect`: Governor's own failure, a bad flag included, so that it is never taken for the tool's. */
  governorFailed: 125,
  /** `governor connect`: there is no such tool. */
  notFound: 127,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
