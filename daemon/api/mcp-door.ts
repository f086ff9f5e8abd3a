/**
 * The way to MCP: its endpoints are taken before the router, so that a call pays for nothing that it does not need; the guard is the
 * same. What it refuses is said in the protocol's words. `governor connect` comes with an upgrade of its connection.
 */

import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { isLoopback } from '../../config/listen.ts';
import { GovernorError } from '../../lib/core/errors.ts';
import { readLabel } from '../../lib/mcp/front/caller.ts';
import type { Caller } from '../../lib/mcp/front/caller.ts';
import { refuse } from '../../lib/mcp/front/reply.ts';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import type { View } from '../../lib/mcp/wire/session.ts';
import type { ApiDependencies } from './dependencies.ts';
import { judge } from './guard.ts';
import type { Verdict } from './guard.ts';
import type { Listeners } from './listeners.ts';
import { describeError, rawProblem } from './problems.ts';
import { UPGRADE_PROTOCOL } from './upgrade-protocol.ts';

export interface McpDoor {
  /** @returns false for a request that is not for MCP, untouched */
  take(request: IncomingMessage, response: ServerResponse): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

type Needs = Pick<ApiDependencies, 'settings' | 'tokens' | 'governor' | 'logger'> & {
  readonly mcp: NonNullable<ApiDependencies['mcp']>;
  /** Asked at each request: the door is made before the listeners that it is for. */
  readonly listeners: () => Listeners;
  readonly closing: () => boolean;
};

const PREFIX = '/mcp';
const CONNECT = /^\/v1\/tools\/([^/?]+)\/connect(?:\?(.*))?$/;

export function createMcpDoor(needs: Needs): McpDoor {
  const judged = (request: IncomingMessage, socket: Socket): Verdict => {
    const { host, origin, authorization } = request.headers;
    const listener = needs.listeners().of(socket);
    return judge({ listener, access: 'mcp', host, origin, authorization }, needs.settings(), needs.tokens());
  };
  const callerOf = (by: string, socket: Socket, view: View, label: string | null): Caller => {
    const local = needs.listeners().of(socket)?.kind === 'unix' || isLoopback(socket.remoteAddress ?? '');
    return { view, identity: by, local, label };
  };
  return {
    take(request, response) {
      const path = (request.url ?? '').split('?', 1)[0] ?? '';
      if (!path.startsWith(PREFIX) || (path.length > PREFIX.length && path[PREFIX.length] !== '/')) return false;
      const verdict = judged(request, request.socket);
      if (verdict.kind === 'refused') refuseAs(response, verdict);
      else {
        const view = viewOf(path);
        if (view === null) refuse(response, notFound(path));
        else needs.mcp.serve(request, response, callerOf(verdict.by, request.socket, view, null));
      }
      return true;
    },
    upgrade(request, stream, head) {
      // Errors of a connection that is not HTTP any more are nobody else's.
      stream.on('error', (error) => needs.logger.debug({ err: error }, 'an upgraded connection broke'));
      try {
        // Node types it as any stream; a server's connections are sockets.
        const socket = stream as Socket;
        const verdict = judged(request, socket);
        if (verdict.kind === 'refused') return refuseUpgrade(socket, verdict.error, verdict.challenge);
        if (needs.closing()) throw new GovernorError('shutting_down', 'The daemon is shutting down');
        const { view, label } = wanted(request, needs.governor);
        socket.setTimeout(0);
        socket.setNoDelay(true);
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${UPGRADE_PROTOCOL}\r\nConnection: Upgrade\r\n\r\n`);
        needs.mcp.connect(socket, head, callerOf(verdict.by, socket, view, label));
      } catch (error) {
        refuseUpgrade(stream, error, null);
      }
    },
  };
}

/** @throws GovernorError for what is no `connect`, and for tools that cannot be spoken with */
function wanted(request: IncomingMessage, governor: ApiDependencies['governor']): { view: View; label: string | null } {
  const parts = CONNECT.exec(request.url ?? '');
  if (parts === null || request.method !== 'GET') {
    throw new GovernorError(
      'invalid_request',
      `Only "Upgrade: ${UPGRADE_PROTOCOL}" of GET /v1/tools/{name}/connect is known`,
    );
  }
  const name = decoded(parts[1] ?? '');
  if (name === null) throw new GovernorError('invalid_request', 'The path is not valid percent-encoded UTF-8');
  const query = new URLSearchParams(parts[2] ?? '');
  for (const key of query.keys()) {
    if (key !== 'context') throw new GovernorError('invalid_request', `unknown query parameter ${JSON.stringify(key)}`);
  }
  const label = readLabel(query.get('context'));
  if ('problem' in label) throw new GovernorError('invalid_request', label.problem);
  return { view: { kind: 'tool', tool: managedTool(governor, name) }, label: label.label };
}

/**
 * One that can be connected to.
 * @returns its name
 * @throws GovernorError unknown_tool, not_managed
 */
export function managedTool(governor: Pick<ApiDependencies['governor'], 'tool'>, name: string): string {
  const tool = governor.tool(name);
  if (tool.managed) return tool.name;
  throw new GovernorError('not_managed', `${tool.name} is started by its client, with governor run`);
}

/** null: nothing of MCP is there. */
function viewOf(path: string): View | null {
  if (path.length === PREFIX.length) return { kind: 'all' };
  const name = path.slice(PREFIX.length + 1);
  if (name === '' || name.includes('/')) return null;
  const tool = decoded(name);
  return tool === null ? null : { kind: 'tool', tool };
}

function decoded(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

function notFound(path: string) {
  const message = `There is nothing at ${JSON.stringify(path.slice(0, 200))}; possible: /mcp and /mcp/{tool}`;
  return { status: 404, code: RPC_CODE.invalidRequest, message, data: { code: 'not_found' } };
}

function refuseAs(response: ServerResponse, { error, challenge }: Extract<Verdict, { kind: 'refused' }>): void {
  refuse(response, {
    status: error.status,
    code: RPC_CODE.invalidRequest,
    message: error.message,
    data: { code: error.code },
    ...(challenge === null ? {} : { headers: { 'www-authenticate': challenge } }),
  });
}

function refuseUpgrade(stream: Duplex, error: unknown, challenge: string | null): void {
  const { document } = describeError(error);
  const headers = challenge === null ? {} : { 'WWW-Authenticate': challenge };
  const status = STATUS_CODES[document.status] === undefined ? 500 : document.status;
  stream.end(rawProblem(document.code, status, document.detail, headers));
}
