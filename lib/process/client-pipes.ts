/**
 * The client of a `governor connect` that is a shell: two anonymous pipes of the launcher, as one stream. Opened through
 * /proc/PID/fd (proc(5)): each end is a description of its own, so the daemon's end of file comes when the launcher's is closed.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/**
 * @param pid that holds both
 * @param pipes its descriptors
 * @throws Error when it is gone, or one of them is no pipe
 */
export function openClientPipes(pid: number, [fromClient, toClient]: readonly [number, number]): Duplex {
  const input = openPipe(`/proc/${pid}/fd/${fromClient}`, constants.O_RDONLY);
  try {
    return new ClientPipes(input, openPipe(`/proc/${pid}/fd/${toClient}`, constants.O_WRONLY));
  } catch (error) {
    closeSync(input);
    throw error;
  }
}

function openPipe(path: string, mode: number): number {
  const file = openSync(path, mode | constants.O_NONBLOCK);
  if (fstatSync(file).isFIFO()) return file;
  closeSync(file);
  throw new Error(`${path} is no pipe`);
}

class ClientPipes extends Duplex {
  readonly #input: Socket;
  readonly #output: Socket;

  constructor(input: number, output: number) {
    super();
    this.#input = new Socket({ fd: input, readable: true, writable: false, allowHalfOpen: true });
    this.#output = new Socket({ fd: output, readable: false, writable: true, allowHalfOpen: true });
    this.#input.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) this.#input.pause();
    });
    this.#input.on('end', () => this.push(null));
    this.#input.on('error', (error) => this.destroy(error));
    // Nobody reads any more.
    this.#output.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.#input.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#output.write(chunk, done);
  }

  /** What was gathered goes out at once. */
  override _writev(chunks: readonly { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#output.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#output.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#input.destroy();
    this.#output.destroy();
    done(error);
  }
}
