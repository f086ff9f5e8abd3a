/** The daemon's own log: JSON lines by pino, with secrets hidden on the way in. */

import {
  type Bindings,
  type ChildLoggerOptions,
  destination as openDestination,
  type DestinationStream,
  type Level,
  type Logger,
  pino,
  stdSerializers,
} from 'pino';
import { maskText } from '../core/mask.ts';

export type LogLevel = Level | 'silent';

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** `stderr`, a file (appended to, created with mode 0600), or a stream that is given. */
  readonly destination: 'stderr' | { readonly file: string } | DestinationStream;
  /** The destination refuses lines (disk full, reader gone). Called once per streak; logging goes on without them. */
  readonly onLoss?: (error: Error) => void;
}

/** Keys whose values are never logged, at any depth; of headers and environments not one value. */
const SECRET_KEYS = new Set([
  'env',
  'headers',
  'token',
  'authorization',
  'password',
  'secret',
  'apikey',
  'api_key',
  'cookie',
]);
/** pino's own redaction stands behind the masking below: it sees what reaches the line by any other way. */
const REDACTED = ['env', '*.env', 'token', '*.token', 'authorization', '*.authorization', 'headers.*', '*.headers.*'];
const HIDDEN = '[hidden]';

export function createLogger(options: LoggerOptions): Logger {
  const logger = pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      serializers: { err: (error: unknown) => error },
      redact: { paths: REDACTED, censor: HIDDEN },
      formatters: { level: (label) => ({ level: label }), log: maskMembers },
      hooks: {
        logMethod(args, method) {
          method.apply(this, maskCall(args) as typeof args);
        },
      },
    },
    streamOf(options),
  );
  // pino gives the bindings of a child to no formatter; children inherit this from their parent.
  const child: (this: Logger, bindings: Bindings, options?: ChildLoggerOptions) => Logger = logger.child;
  Object.assign(logger, {
    child(this: Logger, bindings: Bindings, childOptions?: ChildLoggerOptions) {
      return child.call(this, maskMembers(bindings), childOptions);
    },
  });
  return logger;
}

/** Message and its arguments; a message that pino would take from an error is made here, masked. */
function maskCall(args: readonly unknown[]): readonly unknown[] {
  const masked = args.map((arg) => (typeof arg === 'string' ? maskText(arg) : arg));
  const [first] = args;
  if (args.length > 1 || typeof first !== 'object' || first === null) return masked;
  const error = first instanceof Error ? first : 'err' in first ? first.err : undefined;
  return error instanceof Error ? [first, maskText(error.message)] : masked;
}

const MAX_WAITING_BYTES = 1024 * 1024;

/** @throws the file system's error when the file cannot be opened */
function streamOf({ destination, onLoss }: LoggerOptions): DestinationStream {
  if (typeof destination === 'object' && 'write' in destination) return destination;
  // Synchronous, because the other way ends in a flush at exit that a full disk makes endless. A reader that does not
  // read (EAGAIN) must not stop the daemon: lines wait up to `maxLength` bytes, then they are dropped.
  const stream = openDestination({
    dest: destination === 'stderr' ? 2 : destination.file,
    sync: true,
    append: true,
    mode: 0o600,
    maxLength: MAX_WAITING_BYTES,
    retryEAGAIN: () => false,
  });
  let failing = false;
  // Without a listener an error of the stream (ENOSPC, EPIPE, EIO) would end the daemon.
  stream.on('error', (error: Error) => {
    if (!failing) onLoss?.(error);
    failing = true;
  });
  stream.on('drain', () => {
    failing = false;
  });
  return stream;
}

function maskMembers(members: Record<string, unknown>): Record<string, unknown> {
  return maskEntries(members, []);
}

const MAX_DEPTH = 8;

/** @param above the objects that this value lies in, so that a cycle ends */
function maskDeep(value: unknown, above: readonly object[]): unknown {
  if (typeof value === 'string') return maskText(value);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (above.includes(value) || above.length >= MAX_DEPTH) return '[deep]';
  const path = [...above, value];
  if (Array.isArray(value)) return value.map((item) => maskDeep(item, path));
  return maskEntries(value instanceof Error ? stdSerializers.err(value) : value, path);
}

function maskEntries(value: object, path: readonly object[]): Record<string, unknown> {
  const entries = Object.entries(value).map(([key, item]) => {
    const secret = SECRET_KEYS.has(key.toLowerCase()) && item !== undefined && item !== null;
    return [key, secret ? HIDDEN : maskDeep(item, path)];
  });
  return Object.fromEntries(entries);
}
