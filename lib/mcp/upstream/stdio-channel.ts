/** The stdio of a process that the supervisor owns, as a channel: a message a line. The process is not ended from here. */

import type { Readable, Writable } from 'node:stream';
import { GovernorError } from '../../core/errors.ts';
import { Gathered } from '../wire/gathered.ts';
import { LineReader } from '../wire/line-reader.ts';
import type { Message } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { readMessage } from '../wire/shape.ts';
import { failure } from '../wire/text.ts';
import { brokenAnswer } from './broken-answer.ts';
import type { Channel, ChannelListener } from './upstream.ts';

/** A line longer than this is no message. The reader's memory is bounded by it. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
/** Without its input there is no conversation; what it has printed by then is still read. */
const INPUT_GONE_MS = 1_000;
const BRACE = 0x7b;
/** Envelopes as servers write them: the id comes first, or last (then the result does not). */
const ANSWER_BEGINS = /^\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d+)\s*,\s*"(?:result|error)"\s*:/;
const RESULT_BEGINS = /^\s*\{\s*"(?:result|error)"\s*:/;
const ANSWER_ENDS = /,\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d+)\s*\}\s*$/;

export interface ToolStdio {
  readonly stdin: Writable;
  readonly stdout: Readable;
}

export class StdioChannel implements Channel {
  readonly kind = 'stdio';
  readonly #stdio: ToolStdio;
  readonly #gathered: Gathered;
  #listener: ChannelListener | null = null;
  #closed = false;
  #inputTimer: NodeJS.Timeout | undefined;
  readonly #lines = new LineReader({
    maxLineBytes: MAX_LINE_BYTES,
    onLine: (line) => this.#read(line),
    onTooLong: () => this.#listener?.onProblem(`a line of more than ${MAX_LINE_BYTES} bytes was dropped`),
    onDropped: (head, tail) => this.#dropped(head, tail),
  });

  constructor(stdio: ToolStdio) {
    this.#stdio = stdio;
    this.#gathered = new Gathered(stdio.stdin);
  }

  get pendingBytes(): number {
    return this.#stdio.stdin.writableLength;
  }

  start(listener: ChannelListener): Promise<void> {
    this.#listener = listener;
    const { stdin, stdout } = this.#stdio;
    stdout.on('data', (chunk: Buffer) => {
      if (!this.#closed) this.#lines.push(chunk);
    });
    stdout.once('end', () => this.#end('it closed its output'));
    stdout.once('close', () => this.#end('it closed its output'));
    stdout.on('error', (error) => this.#end(`its output cannot be read: ${error.message}`));
    stdin.on('error', (error) => this.#inputGone(error));
    return Promise.resolve();
  }

  send(message: Message): undefined {
    if (this.#closed) throw new GovernorError('launch_failed', 'the conversation is over');
    if (!this.#stdio.stdin.writable) throw new GovernorError('launch_failed', 'the server takes no input any more');
    // What is written to a process that has just died is lost with it; its end is what answers.
    this.#gathered.begin();
    this.#stdio.stdin.write(`${JSON.stringify(message)}\n`);
  }

  close(): Promise<void> {
    this.#end('closed');
    return Promise.resolve();
  }

  #inputGone(error: Error): void {
    if (this.#closed || this.#inputTimer !== undefined) return;
    const reason = `it does not take its input: ${error.message}`;
    this.#listener?.onProblem(reason);
    this.#inputTimer = setTimeout(() => this.#end(reason), INPUT_GONE_MS);
    this.#inputTimer.unref();
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#inputTimer);
    this.#lines.clear();
    // What the tool still prints is read and dropped, so that it never blocks on a full pipe.
    this.#stdio.stdout.resume();
    this.#listener?.onClose(reason);
  }

  /** Whoever waits for the answer that was dropped is told, where it says whose it was. */
  #dropped(head: string, tail: string): void {
    const id = ANSWER_BEGINS.exec(head)?.[1] ?? (RESULT_BEGINS.test(head) ? ANSWER_ENDS.exec(tail)?.[1] : undefined);
    if (id === undefined || this.#closed) return;
    const answer = failure(RPC_CODE.internalError, `the answer has more than ${MAX_LINE_BYTES} bytes and was dropped`);
    this.#listener?.onMessage({ kind: 'answer', id: Number(id), answer });
  }

  #read(line: string): void {
    if (this.#closed) return;
    if (line.charCodeAt(0) !== BRACE && !line.trimStart().startsWith('{')) {
      // Log lines on stdout are no messages.
      if (line.trim() !== '') this.#listener?.onProblem('it prints what is no message on its output');
      return;
    }
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return this.#listener?.onProblem('a line of its output begins as a message and is no JSON');
    }
    const message = readMessage(value);
    if (message.kind !== 'invalid') return this.#listener?.onMessage(message);
    this.#listener?.onProblem(`a line of its output is no message: ${message.problem}`);
    const answer = brokenAnswer(value, message);
    if (answer !== null) this.#listener?.onMessage(answer);
  }
}
