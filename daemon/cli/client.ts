/** The REST client of the command line: HTTP over the daemon's unix socket, one connection a request. */

import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { ERRORS, GovernorError, type ErrorCode, type Problem } from '../../lib/core/errors.ts';
import type { Locations } from './locations.ts';

export interface Reply {
  /** The document, byte for byte as the daemon wrote it. */
  readonly text: string;
  /** The document parsed; undefined for an empty reply (204). */
  readonly body: unknown;
}

export interface Client {
  /**
   * @param path with its query, every segment percent-encoded
   * @throws GovernorError with the daemon's own code when it refuses; `daemon_unreachable` when none answers
   */
  get(path: string, options?: RequestOptions): Promise<Reply>;
  send(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown, options?: RequestOptions): Promise<Reply>;
  /** Opens a stream; the caller reads it. Ended by `signal`. */
  stream(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage>;
  /**
   * Turns the connection into one of another protocol.
   * @returns the connection, and what was read of it already
   */
  upgrade(path: string, protocol: string): Promise<Upgraded>;
}

export interface Upgraded {
  readonly socket: Socket;
  readonly head: Buffer;
}

export interface RequestOptions {
  /** No byte from the daemon for this long is a failure. Stops and restarts take as long as the tool's grace. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 120_000;
/** A document larger than this is not Governor's. */
const MAX_REPLY_BYTES = 256 * 1024 * 1024;

export function createClient(locations: Pick<Locations, 'stateDir' | 'connectSocketPaths'>): Client {
  const call = async (method: string, path: string, body: unknown, options: RequestOptions): Promise<Reply> => {
    const payload = body === undefined ? null : JSON.stringify(body);
    const headers =
      payload === null
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) };
    const response = await open(locations, method, path, { accept: 'application/json', ...headers }, payload, {
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    });
    return settle(response, await readAll(response));
  };
  return {
    get: (path, options = {}) => call('GET', path, undefined, options),
    send: (method, path, body, options = {}) => call(method, path, body, options),
    async stream(path, headers, signal) {
      const response = await open(locations, 'GET', path, headers, null, { signal });
      if (response.statusCode !== 200) settle(response, await readAll(response));
      return response;
    },
    async upgrade(path, protocol) {
      const headers = { connection: 'Upgrade', upgrade: protocol };
      const taken: Upgraded[] = [];
      const response = await open(locations, 'GET', path, headers, null, {
        timeoutMs: DEFAULT_TIMEOUT_MS,
        onUpgrade: (upgraded) => taken.push(upgraded),
      });
      const [upgraded] = taken;
      if (upgraded !== undefined) return upgraded;
      settle(response, await readAll(response));
      throw new GovernorError('daemon_unreachable', `the daemon does not know ${protocol}: it is of another version`);
    },
  };
}

/** A path segment: percent-encoded, so that a name with a space or a quote stays one segment. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

/** `?a=1&b=2`, or nothing; absent values are left out. */
export function query(values: Readonly<Record<string, string | number | null | undefined>>): string {
  const given = Object.entries(values).flatMap(([key, value]) =>
    value === null || value === undefined ? [] : [[key, String(value)] as [string, string]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

export function noDaemon(stateDir: string, cause?: unknown): GovernorError {
  return new GovernorError(
    'daemon_unreachable',
    `no daemon is running for ${stateDir}; start one with: governor daemon`,
    {
      cause,
    },
  );
}

interface OpenOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onUpgrade?: (upgraded: Upgraded) => void;
}

async function open(
  locations: Pick<Locations, 'stateDir' | 'connectSocketPaths'>,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  payload: string | null,
  options: OpenOptions,
): Promise<IncomingMessage> {
  let refusal: unknown;
  for (const socketPath of locations.connectSocketPaths) {
    try {
      return await openAt(socketPath, method, path, headers, payload, options);
    } catch (error) {
      if (!NOBODY_THERE.has(errorCode(error))) throw unreachable(socketPath, error);
      refusal = error;
    }
  }
  throw noDaemon(locations.stateDir, refusal);
}

/** No socket there, one whose daemon is gone, or something that is no socket. */
const NOBODY_THERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK', 'EPROTOTYPE']);

function openAt(
  socketPath: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  payload: string | null,
  options: OpenOptions,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      socketPath,
      method,
      path,
      agent: false,
      headers: { host: 'localhost', connection: 'close', ...headers },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    outgoing.once('response', resolve);
    const { onUpgrade } = options;
    if (onUpgrade !== undefined) {
      outgoing.once('upgrade', (response, socket, head) => {
        outgoing.setTimeout(0);
        onUpgrade({ socket, head });
        resolve(response);
      });
    }
    outgoing.once('error', reject);
    if (options.timeoutMs !== undefined) {
      const { timeoutMs } = options;
      outgoing.setTimeout(timeoutMs, () => {
        outgoing.destroy(
          new GovernorError(
            'daemon_unreachable',
            `the daemon at ${socketPath} has not answered for ${timeoutMs / 1000} s`,
          ),
        );
      });
    }
    outgoing.end(payload ?? undefined);
  });
}

function unreachable(socketPath: string, error: unknown): unknown {
  const code = errorCode(error);
  if (error instanceof GovernorError || code === 'ABORT_ERR') return error;
  if (code === 'EACCES' || code === 'EPERM') {
    return new GovernorError(
      'daemon_unreachable',
      `not allowed to connect to ${socketPath}: the daemon belongs to another user`,
      { cause: error },
    );
  }
  const why = error instanceof Error ? error.message : String(error);
  return new GovernorError('daemon_unreachable', `the daemon at ${socketPath} broke off: ${why}`, { cause: error });
}

function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      lengthBytes += chunk.length;
      if (lengthBytes > MAX_REPLY_BYTES)
        throw new GovernorError('daemon_unreachable', 'the daemon sent more than 256 MiB: not a reply of Governor');
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof GovernorError) throw error;
    throw new GovernorError('daemon_unreachable', 'the daemon broke off in the middle of its answer', { cause: error });
  }
  return Buffer.concat(chunks).toString('utf8');
}

function settle(response: IncomingMessage, text: string): Reply {
  const status = response.statusCode ?? 0;
  const body = parse(text);
  if (status >= 200 && status < 300) {
    if (body === UNPARSABLE)
      throw new GovernorError(
        'internal',
        'the daemon answered with something that is not JSON; is it the same version?',
      );
    return { text, body };
  }
  throw problemOf(status, body, text);
}

const UNPARSABLE: unique symbol = Symbol('unparsable');

function parse(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return UNPARSABLE;
    throw error;
  }
}

/** RFC 9457. `data.problem` keeps the document for `--json`. */
function problemOf(status: number, body: unknown, text: string): GovernorError {
  if (typeof body !== 'object' || body === null) {
    return new GovernorError('internal', `the daemon answered with HTTP ${status} and no explanation`);
  }
  const document = body as { code?: unknown; title?: unknown; detail?: unknown; problems?: unknown };
  const code =
    typeof document.code === 'string' && Object.hasOwn(ERRORS, document.code)
      ? (document.code as ErrorCode)
      : 'internal';
  const message =
    [document.detail, document.title].find((part) => typeof part === 'string' && part !== '') ?? `HTTP ${status}`;
  const problems = Array.isArray(document.problems) ? document.problems.flatMap(toProblem) : [];
  return new GovernorError(code, String(message), { problems, data: { problem: text } });
}

/** The daemon writes the place of a problem flat: `pointer`, or `file`, `line` and `column`. */
function toProblem(value: unknown): readonly Problem[] {
  if (typeof value !== 'object' || value === null) return [];
  const { message, hint, pointer, file, line, column } = value as Readonly<Record<string, unknown>>;
  if (typeof message !== 'string') return [];
  const where = {
    ...(typeof pointer === 'string' ? { pointer } : {}),
    ...(typeof file === 'string' ? { file } : {}),
    ...(typeof line === 'number' ? { line } : {}),
    ...(typeof column === 'number' ? { column } : {}),
  };
  return [{ where, message, ...(typeof hint === 'string' ? { hint } : {}) }];
}
