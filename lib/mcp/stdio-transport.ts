/**
 * The MCP SDK's transport over the stdio of a process that the supervisor owns: the SDK's own stdio transport would
 * spawn the process itself and, at the end, kill only the direct child.
 */

import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/client';
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client';
import type { Readable, Writable } from 'node:stream';

/** A message longer than this is no MCP message: 64 MiB. The reader's memory is bounded by it. */
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
  readonly #buffer = new ReadBuffer({ maxBufferSize: MAX_MESSAGE_BYTES });
  #closed = false;

  constructor(stdio: ToolStdio) {
    this.#stdio = stdio;
  }

  start(): Promise<void> {
    const { stdout, stdin } = this.#stdio;
    stdout.on('data', (chunk: Buffer) => this.#read(chunk));
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
    this.#buffer.clear();
    // What the tool still prints is read and dropped, so that it never blocks on a full pipe.
    this.#stdio.stdout.resume();
    this.onclose?.();
    return Promise.resolve();
  }

  #read(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#buffer.append(chunk);
    } catch (error) {
      this.onerror?.(error as Error);
      void this.close();
      return;
    }
    for (;;) {
      try {
        const message = this.#buffer.readMessage();
        if (message === null) return;
        this.onmessage?.(message);
      } catch (error) {
        // A line that is no message (a log line on stdout): said, and the next one is read.
        this.onerror?.(error as Error);
      }
    }
  }
}
