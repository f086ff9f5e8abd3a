/** The connection to Governor's socket: made again when it is lost, and no reason for the process to stay. */

import { constants, openSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import type { DaemonMessage, PressureNotice, ToolMessage } from '../core/tool-protocol.ts';
import {
  MAX_PROTOCOL_LINE_CHARACTERS,
  parseDaemonMessage,
  parseNotice,
  parseObject,
  TOOL_PROTOCOL_VERSION,
} from '../core/tool-protocol.ts';
import type { Offer } from './offer.ts';

export interface LinkListener {
  /** Null: there is pressure on memory, and no more is told. */
  onPressure(notice: PressureNotice | null): void;
  onCleanup(request: Extract<DaemonMessage, { type: 'cleanup' }>): void;
  /** Welcomed: the daemon knows nothing of this process yet. */
  onConnected(): void;
}

const FIRST_RETRY_MS = 100;
/** A daemon that is started again is back within seconds. */
const LAST_RETRY_MS = 5_000;

export class GovernorLink {
  readonly #offer: Exclude<Offer, { kind: 'none' }>;
  readonly #listener: LinkListener;
  #socket: Socket | null = null;
  #welcomed = false;
  #timer: NodeJS.Timeout | null = null;
  #retryMs = FIRST_RETRY_MS;
  #rest = '';
  #wanted = false;

  constructor(offer: Exclude<Offer, { kind: 'none' }>, listener: LinkListener) {
    this.#offer = offer;
    this.#listener = listener;
  }

  /** Idempotent. */
  open(): void {
    this.#wanted = true;
    if (this.#socket === null && this.#timer === null) this.#connect();
  }

  /** Idempotent; it can be opened again. */
  close(): void {
    this.#wanted = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#socket?.destroy();
    this.#socket = null;
  }

  /** False when there is nobody to hear it. */
  say(message: ToolMessage): boolean {
    if (this.#socket === null || !this.#welcomed) return false;
    return this.#socket.writable && (this.#socket.write(`${JSON.stringify(message)}\n`), true);
  }

  /** While the daemon waits for an answer this process stays. */
  hold(): void {
    this.#socket?.ref();
  }

  letGo(): void {
    this.#socket?.unref();
  }

  #connect(): void {
    let socket: Socket;
    try {
      socket = this.#openSocket();
    } catch {
      // A FIFO that has gone since.
      return this.#retryLater();
    }
    this.#socket = socket;
    this.#welcomed = false;
    this.#rest = '';
    socket.unref();
    socket.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
    // What went wrong does not matter: it is tried again.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#retryLater();
    });
    if (this.#offer.kind === 'governor')
      socket.write(`${JSON.stringify({ type: 'hello', version: TOOL_PROTOCOL_VERSION } satisfies ToolMessage)}\n`);
    else if (this.#offer.write !== null) socket.write(this.#offer.write);
  }

  #openSocket(): Socket {
    const { path } = this.#offer;
    if (this.#offer.kind === 'governor' || this.#offer.node === 'socket') return connect(path);
    // For reading and writing: a FIFO without a writer would be at its end at once.
    return new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK) });
  }

  #retryLater(): void {
    if (!this.#wanted) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#connect();
    }, this.#retryMs);
    this.#timer.unref();
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  #hear(text: string): void {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#offer.kind === 'watch') return this.#hearPressure(lines);
    if (this.#rest.length > MAX_PROTOCOL_LINE_CHARACTERS) return void this.#socket?.destroy();
    for (const line of lines) {
      const message = parseDaemonMessage(line);
      if (message !== null) this.#understand(message);
      // Told before the daemon had read the hello: to whoever just listens.
      else this.#hearBare(line);
    }
  }

  #hearBare(line: string): void {
    const notice = parseNotice(parseObject(line));
    if (notice !== null) this.#listener.onPressure(notice);
  }

  /** Any bytes are pressure; of Governor they are notices. */
  #hearPressure(lines: readonly string[]): void {
    this.#retryMs = FIRST_RETRY_MS;
    // The rest of a notice is on its way.
    if (lines.length === 0 && this.#rest.startsWith('{') && this.#rest.length <= MAX_PROTOCOL_LINE_CHARACTERS) return;
    const notices = lines.map((line) => parseNotice(parseObject(line))).filter((notice) => notice !== null);
    for (const notice of notices) this.#listener.onPressure(notice);
    if (notices.length > 0) return;
    this.#rest = '';
    this.#listener.onPressure(null);
  }

  #understand(message: DaemonMessage): void {
    switch (message.type) {
      case 'welcome':
        this.#welcomed = true;
        this.#retryMs = FIRST_RETRY_MS;
        return this.#listener.onConnected();
      case 'pressure':
        return this.#listener.onPressure(message.notice);
      case 'cleanup':
        return this.#listener.onCleanup(message);
    }
  }
}
