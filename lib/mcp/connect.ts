/** From a started process, or the address of a server elsewhere, to a conversation that is ready: handshake, and the tools listed. */

import { GovernorError } from '../core/errors.ts';
import { maskShort } from '../core/mask.ts';
import type { ToolDefinition } from '../supervisor/governor.ts';
import type { Connector } from './pool/connector.ts';
import { internalClient, internalExchange } from './pool/internal-client.ts';
import { openUpstream } from './upstream/multiplexer.ts';
import { StdioChannel } from './upstream/stdio-channel.ts';
import type { Channel, Upstream } from './upstream/upstream.ts';
import type { Fields } from './wire/message.ts';
import type { ServerDescription } from './wire/session.ts';
import { isFields } from './wire/shape.ts';

/** A tool that logs to its output would flood the log with the same complaint. */
const COMPLAINTS_MAX = 5;
/** Whoever misses a tool finds it in the log; one that changes what it offers all the time does not fill that. */
const LEFT_OUT_MAX = 100;
/** A list that goes on for ever is none. */
const PAGES_MAX = 100;

export interface ConnectorOptions {
  readonly version: string;
  monotonicMs(): number;
  /** To a server elsewhere, where its definition says. */
  remote(definition: ToolDefinition): Promise<Channel>;
}

export function createConnector({ version, monotonicMs, remote }: ConnectorOptions): Connector {
  return async ({ process, options, identity, era, takesTurns }) => {
    const endMs = monotonicMs() + options.timeoutMs;
    let said = 0;
    let leftOut = 0;
    const { remote: target } = options.definition;
    if (process === null && target === undefined) throw failed('there is neither a process nor an address');
    const channel = process === null ? await remote(options.definition) : new StdioChannel(process);
    const upstream = openUpstream(channel, {
      era,
      takesTurns,
      info: identity.info,
      capabilities: identity.capabilities,
      timeoutMs: options.timeoutMs,
      monotonicMs,
      onProblem: (problem) => {
        if (said++ < COMPLAINTS_MAX) options.onProtocolError(problem);
      },
      onLeftOut: (what) => {
        if (leftOut++ < LEFT_OUT_MAX) options.onProtocolError(what);
      },
    });
    try {
      const description = await upstream.ready();
      const tools = await toolNames(upstream, description, Math.max(1, Math.ceil(endMs - monotonicMs())), version);
      const { name, version: theirs } = description.info;
      return {
        server: { name: text(name), version: text(theirs), protocol: description.protocolVersion, tools },
        upstream,
        identity,
        check: (timeoutMs) => upstream.check(timeoutMs),
        close: () => upstream.close('the conversation was ended by Governor'),
      };
    } catch (error) {
      await upstream.close('the conversation did not begin');
      throw error;
    }
  };
}

async function toolNames(
  upstream: Upstream,
  description: ServerDescription,
  timeoutMs: number,
  version: string,
): Promise<readonly string[]> {
  if (description.capabilities['tools'] === undefined) return [];
  const governor = { info: { name: 'governor', version }, capabilities: {} };
  const session = upstream.attach(internalClient(description, governor));
  const timeOut = AbortSignal.timeout(timeoutMs);
  try {
    const names: string[] = [];
    let params: Fields | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      const request = { method: 'tools/list', ...(params === undefined ? {} : { params }) };
      const answer = await session.request(request, internalExchange(timeOut));
      if (answer.kind === 'error')
        throw failed(timeOut.aborted ? 'the list of its tools timed out' : maskShort(answer.error.message));
      const { tools, nextCursor } = answer.result;
      if (!Array.isArray(tools)) throw failed('its tools are no list');
      for (const tool of tools) if (isFields(tool) && typeof tool['name'] === 'string') names.push(tool['name']);
      if (typeof nextCursor !== 'string') return names;
      params = { cursor: nextCursor };
    }
    throw failed(`the list of its tools has more than ${PAGES_MAX} pages`);
  } finally {
    await session.close('the tools are listed');
  }
}

function failed(reason: string): GovernorError {
  return new GovernorError('launch_failed', `the MCP handshake failed: ${reason}`);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : 'unknown';
}
