/** The readiness check of a managed tool: the protocol's handshake, and its tools listed. */

import { Client } from '@modelcontextprotocol/client';
import { GovernorError } from '../core/errors.ts';
import { StdioTransport } from './stdio-transport.ts';
import type { ToolStdio } from './stdio-transport.ts';

export interface Handshake {
  readonly server: {
    readonly name: string;
    readonly version: string;
    readonly protocol: string;
    readonly tools: readonly string[];
  };
  close(): Promise<void>;
}

export interface HandshakeOptions {
  readonly timeoutMs: number;
  readonly version: string;
  readonly onProtocolError: (message: string) => void;
}

/** @throws GovernorError launch_failed when the tool does not speak MCP, closes its output, or takes too long */
export async function handshake(stdio: ToolStdio, options: HandshakeOptions): Promise<Handshake> {
  const client = new Client({ name: 'governor', version: options.version });
  const transport = new StdioTransport(stdio);
  let said = 0;
  client.onerror = (error) => {
    // A tool that logs to stdout would flood the log with the same complaint.
    if (said++ < 5) options.onProtocolError(error.message);
  };
  try {
    await client.connect(transport, { timeout: options.timeoutMs });
    const tools = await toolNames(client, options.timeoutMs);
    const server = client.getServerVersion();
    return {
      server: {
        name: server?.name ?? 'unknown',
        version: server?.version ?? 'unknown',
        protocol: client.getNegotiatedProtocolVersion() ?? 'unknown',
        tools,
      },
      close: () => client.close(),
    };
  } catch (error) {
    await client.close();
    throw new GovernorError(
      'launch_failed',
      `the MCP handshake failed: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}

async function toolNames(client: Client, timeoutMs: number): Promise<readonly string[]> {
  if (client.getServerCapabilities()?.tools === undefined) return [];
  const { tools } = await client.listTools(undefined, { timeout: timeoutMs });
  return tools.map(({ name }) => name);
}
