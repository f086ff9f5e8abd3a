/** One error class, literal codes, one table. The message is for people; `data` is safe to show. */

export const ERRORS = {
  invalid_config: { status: 422, title: 'The configuration is not valid' },
  invalid_request: { status: 400, title: 'The request is not valid' },
  invalid_name: { status: 400, title: 'The name is not allowed' },
  invalid_limit: { status: 400, title: 'The limit is not valid' },
  unauthorized: { status: 401, title: 'A bearer token is needed' },
  forbidden: { status: 403, title: 'The token does not have this right' },
  forbidden_origin: { status: 403, title: 'Host or Origin is not allowed' },
  not_found: { status: 404, title: 'No such route' },
  unknown_tool: { status: 404, title: 'No such tool' },
  unknown_run: { status: 404, title: 'No such run' },
  unknown_context: { status: 404, title: 'No such context' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  tool_exists: { status: 409, title: 'A tool of this name exists' },
  illegal_state: { status: 409, title: 'Not possible in this state' },
  tool_unproven: { status: 409, title: 'An earlier run is not proven to be stopped' },
  sign_in_needed: { status: 409, title: 'Somebody has to sign in' },
  sign_in_failed: { status: 502, title: 'The sign-in failed' },
  breaker_open: { status: 409, title: 'The tool failed too often and is held back' },
  upgrade_required: { status: 426, title: 'The connection has to be upgraded' },
  no_history: { status: 409, title: 'There is no history to read' },
  too_large: { status: 413, title: 'The request is too large' },
  unsupported_media_type: { status: 415, title: 'Send JSON' },
  too_many_tools: { status: 429, title: 'Too many tools are registered' },
  too_many_streams: { status: 429, title: 'Too many event streams are open' },
  unsupported: { status: 501, title: 'Not possible on this host' },
  not_managed: { status: 409, title: 'The tool is not run by the daemon' },
  command_not_found: { status: 422, title: 'The command was not found' },
  command_not_executable: { status: 422, title: 'The command cannot be run' },
  launch_failed: { status: 500, title: 'The tool could not be started' },
  daemon_running: { status: 409, title: 'Another daemon uses this state directory' },
  daemon_unreachable: { status: 503, title: 'The daemon cannot be reached' },
  port_taken: { status: 409, title: 'The address is in use' },
  state_dir: { status: 500, title: 'The state directory cannot be used' },
  shutting_down: { status: 503, title: 'The daemon is shutting down' },
  internal: { status: 500, title: 'Governor failed' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** Where in an input an error lies: a file position or a JSON pointer (RFC 6901). */
export interface Where {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly pointer?: string;
}

export interface Problem {
  readonly where?: Where;
  readonly message: string;
  /** What would be right. */
  readonly hint?: string;
}

export class GovernorError extends Error {
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];
  readonly data: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly Problem[]; data?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GovernorError';
    this.code = code;
    this.problems = options.problems ?? [];
    this.data = options.data ?? {};
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** `file:line:column: message (hint)`, one line a problem. */
export function formatProblem(problem: Problem): string {
  const { file, line, column, pointer } = problem.where ?? {};
  const place = file === undefined ? pointer : [file, line, column].filter((part) => part !== undefined).join(':');
  const hint = problem.hint === undefined ? '' : ` (${problem.hint})`;
  return place === undefined || place === '' ? `${problem.message}${hint}` : `${place}: ${problem.message}${hint}`;
}
