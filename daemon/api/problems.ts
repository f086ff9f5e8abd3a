/** Every error as one document: RFC 9457 `application/problem+json` with a stable `code`. */

import { STATUS_CODES } from 'node:http';
import { ERRORS, GovernorError } from '../../lib/core/errors.ts';
import type { ErrorCode, Problem } from '../../lib/core/errors.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export interface ProblemItem {
  readonly message: string;
  /** What would be right. */
  readonly hint?: string;
  /** RFC 6901, into the body. */
  readonly pointer?: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

export interface ProblemDocument {
  /** Relative to this daemon: the page that explains the code. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly problems: readonly ProblemItem[];
  readonly data?: Readonly<Record<string, unknown>>;
}

/** What Fastify itself refuses, by its code. */
const FRAMEWORK: Readonly<Record<string, { readonly code: ErrorCode; readonly detail: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'too_large', detail: 'The body is larger than 1 MiB' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported_media_type',
    detail: 'Send the body as "Content-Type: application/json"',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'invalid_request',
    detail: 'The body is not as long as Content-Length says',
  },
  FST_ERR_BAD_URL: { code: 'invalid_request', detail: 'The path is not valid percent-encoded UTF-8' },
  FST_ERR_MAX_PARAM_LENGTH: { code: 'invalid_request', detail: 'A part of the path is too long' },
};

/** Also says whether the operator has to hear of it: what is `internal` shows nothing to the caller. */
export function describeError(error: unknown): { readonly document: ProblemDocument; readonly unexpected: boolean } {
  if (error instanceof GovernorError && error.code !== 'internal') {
    return {
      document: problemDocument(error.code, error.message, error.problems, error.data),
      unexpected: error.status === 500,
    };
  }
  const framework = FRAMEWORK[codeOf(error)];
  if (framework !== undefined)
    return { document: problemDocument(framework.code, framework.detail), unexpected: false };
  return {
    document: problemDocument('internal', 'Governor failed at this request; its log says more'),
    unexpected: true,
  };
}

export function problemDocument(
  code: ErrorCode,
  detail: string,
  problems: readonly Problem[] = [],
  data: Readonly<Record<string, unknown>> = {},
): ProblemDocument {
  const { status, title } = ERRORS[code];
  return {
    type: `/docs/errors#${code}`,
    title,
    status,
    detail,
    code,
    problems: problems.map(problemItem),
    ...(Object.keys(data).length === 0 ? {} : { data }),
  };
}

/** Of any failure, for who runs Governor himself: nothing is held back. */
export function errorDocument(error: unknown): ProblemDocument {
  if (error instanceof GovernorError) return problemDocument(error.code, error.message, error.problems, error.data);
  return problemDocument('internal', error instanceof Error ? error.message : String(error));
}

/** A whole response for a request that could not be parsed as HTTP. */
export function rawProblem(
  code: ErrorCode,
  status: number,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
): string {
  const body = JSON.stringify({ ...problemDocument(code, detail), status });
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    body,
  ].join('\r\n');
}

function problemItem({ where = {}, message, hint }: Problem): ProblemItem {
  const { file, line, column, pointer } = where;
  return {
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(pointer === undefined ? {} : { pointer }),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
  };
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}
