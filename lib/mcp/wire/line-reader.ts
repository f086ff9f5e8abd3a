/** Cuts a byte stream into lines, in time proportional to its length and with bounded memory. */

const LINE_FEED = 10;

export interface LineReaderOptions {
  readonly maxLineBytes: number;
  /** @param line without its line feed, decoded as UTF-8 */
  onLine(line: string): void;
  /** A line is longer than the bound: it is dropped up to its end, what follows is read. Told once a line. */
  onTooLong(): void;
}

export class LineReader {
  readonly #options: LineReaderOptions;
  /** The line that is not complete yet; joined once, when it is. */
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #dropping = false;

  constructor(options: LineReaderOptions) {
    this.#options = options;
  }

  push(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      this.#hold(chunk.subarray(from, end));
      this.#complete();
      from = end + 1;
    }
    if (from < chunk.length) this.#hold(chunk.subarray(from));
  }

  /** Forgets the line that is not complete. */
  clear(): void {
    this.#chunks = [];
    this.#heldBytes = 0;
    this.#dropping = false;
  }

  #hold(part: Buffer): void {
    if (this.#dropping) return;
    if (this.#heldBytes + part.length > this.#options.maxLineBytes) {
      this.clear();
      this.#dropping = true;
      this.#options.onTooLong();
      return;
    }
    this.#chunks.push(part);
    this.#heldBytes += part.length;
  }

  #complete(): void {
    const chunks = this.#chunks;
    const dropped = this.#dropping;
    this.clear();
    if (!dropped)
      this.#options.onLine(chunks.length === 1 ? String(chunks[0]) : Buffer.concat(chunks).toString('utf8'));
  }
}
