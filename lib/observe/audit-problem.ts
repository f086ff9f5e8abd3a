/** What verification of the audit log can find. */

/** `file:line: kind: message` of one problem. */
export function formatVerifyProblem(problem: VerifyProblem): string {
  const place = problem.line === null ? problem.file : `${problem.file}:${problem.line}`;
  return `${place}: ${problem.kind}: ${problem.message}`;
}

export type ProblemKind =
  /** The line's mac does not fit: a byte was changed, or it was made without the key. */
  | 'changed'
  /** The line has not the form of an entry. */
  | 'malformed'
  /** Lines that were written are not there; at the end of the log: `cut_off`. */
  | 'missing'
  | 'cut_off'
  /** The line is genuine, but stands before lines that belong before it. */
  | 'reordered'
  /** A genuine line stands there a second time. */
  | 'duplicated'
  /** A genuine line follows another one than it says: the log was rolled back and written on. */
  | 'broken_chain'
  /** The end of the last line is missing. */
  | 'torn'
  /** The file's name is not that of its first line. */
  | 'file_renamed'
  | 'foreign_file'
  | 'head_missing'
  | 'head_forged'
  | 'head_mismatch'
  | 'key_missing'
  | 'key_invalid';

export interface VerifyProblem {
  readonly kind: ProblemKind;
  /** Relative to the state directory. */
  readonly file: string;
  /** From 1; null when it is about the whole file. */
  readonly line: number | null;
  readonly seq: number | null;
  readonly message: string;
}
