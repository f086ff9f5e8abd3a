/**
 * The MCP SDK's transport over the stdio of a process that the supervisor owns: the SDK's own stdio transport would
 * spawn the process itself and, at the end, kill only the direct child.
 */

import { deserializeMessage, serializeMessage } from '@modelcontextprotocol/client';
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client';
import type { Readable, Writable } from 'node:stream';
import { LineReader } from './wire/line-reader.ts';

/** A line longer than this is no MCP message. The reader's memory is bounded by it. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

export interface ToolStdio {
  readonly stdin: Writable;
  readonly stdout: Readable;
}

export class StdioTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  readonly #stdio: ToolStdio;
  /** The SDK's ReadBuffer copies what it holds with each chunk: a line of 64 MiB would take it minutes. */
  readonly #lines = new LineReader({
    maxLineBytes: MAX_MESSAGE_BYTES,
    onLine: (line) => this.#read(line),
    onTooLong: () => this.onerror?.(new Error(`a line of more than ${MAX_MESSAGE_BYTES} bytes was dropped`)),
  });
  #closed = false;

  constructor(stdio: ToolStdio) {
    this.#stdio = stdio;
  }

  start(): Promise<void> {
    const { stdout, stdin } = this.#stdio;
    stdout.on('data', (chunk: Buffer) => {
      if (!this.#closed) this.#lines.push(chunk);
    });
    stdout.once('close', () => void this.close());
    stdout.once('end', () => void this.close());
    stdout.on('error', (error) => this.onerror?.(error));
    stdin.on('error', (error) => this.onerror?.(error));
    return Promise.resolve();
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the tool has closed its output'));
    return new Promise((resolve, reject) => {
      this.#stdio.stdin.write(serializeMessage(message), (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Ends the conversation; the process is the supervisor's to end. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#lines.clear();
    // What the tool still prints is read and dropped, so that it never blocks on a full pipe.
    this.#stdio.stdout.resume();
    this.onclose?.();
    return Promise.resolve();
  }

  #read(line: string): void {
    // Log lines on stdout are no messages.
    if (this.#closed || !line.trimStart().startsWith('{')) return;
    let message: JSONRPCMessage;
    try {
      message = deserializeMessage(line);
    } catch (error) {
      this.onerror?.(error as Error);
      return;
    }
    this.onmessage?.(message);
  }
}
