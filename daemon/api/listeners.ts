/** Two HTTP servers before one set of routes: a unix socket that only its owner can open, and TCP. */

import { chmod, lstat, unlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerOptions } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { formatListen } from '../../config/listen.ts';
import { GovernorError } from '../../lib/core/errors.ts';
import type { ErrorCode } from '../../lib/core/errors.ts';
import type { Listener } from './guard.ts';
import { rawProblem } from './problems.ts';

/** A whole request, headers and body, has to arrive in this time (slow clients hold a connection otherwise). */
const NETWORK_TIMEOUTS: ServerOptions = {
  requestTimeout: 30_000,
  headersTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 5000,
};
/** Whoever may open the socket owns the daemon; a daemon that was held up must not blame its clients for it. */
const LOCAL_TIMEOUTS: ServerOptions = { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 5000 };
/** Nothing moves on a connection: longer than any stop of a tool takes; event streams have their heartbeat. */
const INACTIVITY_TIMEOUT_MS = 15 * 60_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 4096;
/** sun_path of Linux holds 108 bytes with the closing zero, unix(7). */
const MAX_SOCKET_PATH_BYTES = 107;

export interface Upgrade {
  readonly protocol: string;
  /** Gets the connection itself, and what was read of it beyond the request. */
  readonly handle: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export interface Listeners {
  /** @param path of the socket file; made with mode 0600, a dead one of an earlier daemon is replaced */
  listenUnix(path: string): Promise<void>;
  /** @returns the address that was bound; port 0 asks for any */
  listenTcp(address: {
    readonly host: string;
    readonly port: number;
  }): Promise<{ readonly host: string; readonly port: number }>;
  /** The listener that accepted a connection, or undefined. */
  of(socket: Socket): Listener | undefined;
  /** Takes no more connections, lets requests in flight end for at most `deadlineMs`, then breaks them off. */
  close(deadlineMs: number): Promise<void>;
}

/** @param upgrade the one protocol that a connection can change to; other wishes to upgrade are overheard (RFC 9110 section 7.8) */
export function createListeners(handle: RequestListener, upgrade?: Upgrade): Listeners {
  const accepted = new WeakMap<Socket, Listener>();
  const servers = new Set<Server>();

  const serve = (identify: () => Listener | undefined, timeouts: ServerOptions): Server => {
    const server = createServer(
      {
        ...timeouts,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      handle,
    );
    server.setTimeout(INACTIVITY_TIMEOUT_MS);
    server.maxConnections = MAX_CONNECTIONS;
    server.on('connection', (socket) => {
      const listener = identify();
      if (listener !== undefined) accepted.set(socket, listener);
    });
    server.on('clientError', refuseUnparsable);
    if (upgrade !== undefined) {
      server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        if (request.headers.upgrade === upgrade.protocol) upgrade.handle(request, socket, head);
        else serveUnchanged(server, request, socket, head);
      });
    }
    servers.add(server);
    return server;
  };

  return {
    async listenUnix(path) {
      if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
        throw new GovernorError(
          'state_dir',
          `The socket path ${path} has more than ${MAX_SOCKET_PATH_BYTES} bytes; choose a shorter state directory`,
        );
      }
      await removeDeadSocket(path);
      const server = serve(() => ({ kind: 'unix' }), LOCAL_TIMEOUTS);
      await bind(
        server,
        () => {
          // A pipe is bound inside listen(), so the mask holds for this file only.
          const mask = process.umask(0o177);
          try {
            server.listen({ path });
          } finally {
            process.umask(mask);
          }
        },
        (error) => cannotMakeSocket(error, path),
      );
      await chmod(path, 0o600);
    },
    async listenTcp({ host, port }) {
      let bound: Listener | undefined;
      const server = serve(() => bound, NETWORK_TIMEOUTS);
      await bind(
        server,
        () => server.listen({ host, port }),
        (error) => cannotListen(error, formatListen({ host, port })),
      );
      const address = server.address();
      if (typeof address !== 'object' || address === null) throw new Error(`no address is bound for ${host}:${port}`);
      bound = { kind: 'tcp', host, address: address.address, port: address.port };
      return { host, port: address.port };
    },
    of: (socket) => accepted.get(socket),
    async close(deadlineMs) {
      await Promise.all([...servers].map((server) => closeServer(server, deadlineMs)));
    },
  };
}

/**
 * Node gives away every connection that asks for an upgrade, whatever to, and some clients always ask (Java's for h2c). The request is
 * put back as it would be without, and the connection begins anew.
 */
function serveUnchanged(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1] ?? '';
    if (/^(upgrade|http2-settings)$/i.test(name)) continue;
    const tokens = value.split(',').filter((token) => !/^\s*(upgrade|http2-settings)\s*$/i.test(token));
    if (!/^connection$/i.test(name)) lines.push(`${name}: ${value}`);
    else if (tokens.length > 0) lines.push(`${name}: ${tokens.join(',')}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  // Set again with each beginning.
  socket.removeAllListeners('timeout');
  server.emit('connection', socket);
}

function bind(
  server: Server,
  listen: () => void,
  explain: (error: NodeJS.ErrnoException) => GovernorError,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(explain(error));
    server.once('error', onError);
    server.once('listening', () => {
      server.off('error', onError);
      resolve();
    });
    listen();
  });
}

function cannotMakeSocket(error: NodeJS.ErrnoException, path: string): GovernorError {
  // libuv reports a missing directory as EACCES.
  const why = error.code === 'EACCES' ? 'is its directory there and writable?' : error.message;
  return new GovernorError('state_dir', `Cannot make the socket ${path}: ${why}`, { cause: error });
}

function cannotListen(error: NodeJS.ErrnoException, what: string): GovernorError {
  const known: Readonly<Record<string, readonly [ErrorCode, string]>> = {
    EADDRINUSE: ['port_taken', 'another program listens there; choose another with --listen HOST:PORT'],
    EACCES: ['port_taken', 'not permitted; ports below 1024 need root'],
    EADDRNOTAVAIL: ['invalid_config', 'no network interface of this host has that address'],
    ENOTFOUND: ['invalid_config', 'that host name is not known'],
  };
  const [code, why] = known[error.code ?? ''] ?? ['internal', error.message];
  return new GovernorError(code, `Cannot listen on ${what}: ${why}`, { cause: error });
}

/** The daemon's lock already says that no other daemon uses the directory; asking the socket costs nothing. */
async function removeDeadSocket(path: string): Promise<void> {
  try {
    const found = await lstat(path);
    if (!found.isSocket()) throw new GovernorError('state_dir', `${path} is in the way: it is not a socket`);
  } catch (error) {
    if (errno(error) === 'ENOENT') return;
    throw error;
  }
  if (await answers(path)) throw new GovernorError('daemon_running', `Another daemon listens on ${path}`);
  await unlink(path).catch((error: unknown) => {
    // ENOENT: gone meanwhile.
    if (errno(error) !== 'ENOENT') throw error;
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // ECONNREFUSED: nobody has it open. EAGAIN: somebody has, and is busy.
    socket.once('error', (error) => resolve(errno(error) === 'EAGAIN'));
  });
}

function refuseUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
  // ECONNRESET: the client is gone. A half-written answer cannot be taken back.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const [code, status, detail]: readonly [ErrorCode, number, string] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['too_large', 431, `The headers are larger than ${MAX_HEADER_BYTES / 1024} KiB`]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['invalid_request', 408, 'The request did not arrive in time']
        : ['invalid_request', 400, 'This is not an HTTP/1.1 request'];
  socket.end(rawProblem(code, status, detail));
}

async function closeServer(server: Server, deadlineMs: number): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    const breakOff = setTimeout(() => server.closeAllConnections(), deadlineMs);
    server.close(() => {
      clearTimeout(breakOff);
      resolve();
    });
    server.closeIdleConnections();
  });
}

function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
