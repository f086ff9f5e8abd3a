/** One process of a tool that has connected to its socket: a listener as systemd defines it, until it says `hello`. */

import type { Socket } from 'node:net';
import type { DaemonMessage, HandlesClosed } from '../core/tool-protocol.ts';
import type { CloseRequest } from './pressure-channel.ts';
import { MAX_PROTOCOL_LINE_CHARACTERS, parseToolMessage, TOOL_PROTOCOL_VERSION } from '../core/tool-protocol.ts';

/** Who does not read is dropped. */
const UNREAD_MAX_BYTES = 64 * 1024;
/** Our own library says twenty at most; a tool that floods its daemon is not listened to. */
const MESSAGES_PER_SECOND_MAX = 1_000;

export class ToolConnection {
  readonly #socket: Socket;
  readonly #onClosed: () => void;
  /** `deaf`: what it says is none of the protocol, and is dropped as that of systemd asks. */
  #mode: 'unknown' | 'protocol' | 'deaf' = 'unknown';
  #rest = '';
  #secondBeganMs = 0;
  #messagesInSecond = 0;
  #handles = 0;
  readonly #waiting = new Map<number, (closed: HandlesClosed | null) => void>();

  constructor(socket: Socket, onClosed: () => void) {
    this.#socket = socket;
    this.#onClosed = onClosed;
    socket.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    socket.on('close', () => this.#gone());
    socket.on('error', () => this.#gone());
  }

  /** That it has registered and not closed. */
  get handles(): number {
    return this.#handles;
  }

  /** @param notice one line of JSON */
  notify(notice: string): void {
    if (this.#mode === 'protocol') this.#write(`{"type":"pressure","notice":${notice}}`);
    else this.#write(notice);
  }

  /** @returns how it went; null when it is gone before it says so. Settles late or never: the caller has the deadline */
  cleanUp(
    id: number,
    { reason, deadlineMs, keepShared = false }: Omit<CloseRequest, 'hurry'>,
  ): Promise<HandlesClosed | null> {
    if (this.#mode !== 'protocol') return Promise.resolve({ held: 0, closed: 0, failed: [] });
    const answer = new Promise<HandlesClosed | null>((resolve) => this.#waiting.set(id, resolve));
    this.#say({ type: 'cleanup', id, reason, deadlineMs, ...(keepShared ? { keepShared } : {}) });
    return answer;
  }

  close(): void {
    this.#socket.destroy();
  }

  #hear(text: string): void {
    if (this.#mode === 'deaf') return;
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#floods(lines.length)) return this.close();
    for (const line of lines) this.#understand(line);
    if (this.#rest.length > MAX_PROTOCOL_LINE_CHARACTERS) this.#becomeDeaf();
  }

  #understand(line: string): void {
    if (this.#mode === 'deaf') return;
    const message = parseToolMessage(line);
    if (this.#mode === 'unknown') {
      if (message?.type !== 'hello') return this.#becomeDeaf();
      this.#mode = 'protocol';
      this.#say({ type: 'welcome', version: TOOL_PROTOCOL_VERSION });
    } else if (message?.type === 'holds') this.#handles = message.handles;
    else if (message?.type === 'cleaned') {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    }
  }

  #floods(messages: number): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#secondBeganMs >= 1_000) {
      this.#secondBeganMs = nowMs;
      this.#messagesInSecond = 0;
    }
    this.#messagesInSecond += messages;
    return this.#messagesInSecond > MESSAGES_PER_SECOND_MAX;
  }

  #becomeDeaf(): void {
    // A tool that went on in mid-protocol with something else is not one to wait for.
    this.#settleAll();
    this.#mode = 'deaf';
    this.#rest = '';
    this.#handles = 0;
  }

  #gone(): void {
    this.#settleAll();
    this.#onClosed();
  }

  #settleAll(): void {
    for (const settle of this.#waiting.values()) settle(null);
    this.#waiting.clear();
  }

  #say(message: DaemonMessage): void {
    this.#write(JSON.stringify(message));
  }

  #write(line: string): void {
    if (this.#socket.writableLength > UNREAD_MAX_BYTES) this.#socket.destroy();
    else this.#socket.write(`${line}\n`);
  }
}
