/** Cuts a byte stream into lines, in time proportional to its length and with bounded memory. */

const LINE_FEED = 10;

export interface LineReaderOptions {
  readonly maxLineBytes: number;
  /** @param line without its line feed, decoded as UTF-8 */
  onLine(line: string): void;
  /** A line is longer than the bound: it is dropped up to its end, what follows is read. Told once a line. */
  onTooLong(): void;
  /** The end of such a line was reached; its first and its last bytes. */
  onDropped?(head: string, tail: string): void;
}

/** As much of a dropped line as tells what it was. */
const ENDS_BYTES = 256;

export class LineReader {
  readonly #options: LineReaderOptions;
  /** The line that is not complete yet; joined once, when it is. */
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #dropping = false;
  #head = '';
  #tail: Buffer = Buffer.alloc(0);

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
    this.#head = '';
    this.#tail = Buffer.alloc(0);
  }

  #hold(part: Buffer): void {
    if (this.#dropping) return this.#keepTail(part);
    if (this.#heldBytes + part.length > this.#options.maxLineBytes) {
      const head = headOf([...this.#chunks, part]);
      this.clear();
      this.#dropping = true;
      this.#head = head;
      this.#keepTail(part);
      this.#options.onTooLong();
      return;
    }
    this.#chunks.push(part);
    this.#heldBytes += part.length;
  }

  #keepTail(part: Buffer): void {
    // Copies: a view would keep its whole chunk.
    this.#tail = Buffer.from(Buffer.concat([this.#tail, part.subarray(-ENDS_BYTES)]).subarray(-ENDS_BYTES));
  }

  #complete(): void {
    const chunks = this.#chunks;
    const [dropped, head, tail] = [this.#dropping, this.#head, this.#tail];
    this.clear();
    if (dropped) this.#options.onDropped?.(head, tail.toString('latin1'));
    else this.#options.onLine(chunks.length === 1 ? String(chunks[0]) : Buffer.concat(chunks).toString('utf8'));
  }
}

function headOf(chunks: readonly Buffer[]): string {
  let head = '';
  for (const chunk of chunks) {
    if (head.length >= ENDS_BYTES) break;
    head += chunk.toString('latin1', 0, ENDS_BYTES - head.length);
  }
  return head;
}
