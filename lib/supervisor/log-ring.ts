/** The last lines of a managed tool's stderr, masked, bounded in lines and bytes. */

import { maskBeginning } from '../core/mask.ts';

const LINES_KEPT = 1_000;
const LINE_CHARACTERS = 2_000;
/** Of a line that does not end. More than is read of one (maskBeginning): a secret may lie where it is cut. */
const CUT_CHARACTERS = 5 * LINE_CHARACTERS;

export class LogRing {
  #lines: string[] = [];

  add(line: string): void {
    this.#lines.push(maskBeginning(line, LINE_CHARACTERS));
    if (this.#lines.length > LINES_KEPT * 1.2) this.#lines = this.#lines.slice(-LINES_KEPT);
  }

  last(count: number): readonly string[] {
    return this.#lines.slice(Math.max(0, this.#lines.length - Math.min(count, LINES_KEPT)));
  }
}

/** Cuts a byte stream into lines without ever holding more than one bounded line. */
export class LineCutter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = '';
  #dropping = false;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Uint8Array): void {
    const parts = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) {
      if (!this.#dropping) this.#onLine(part);
      this.#dropping = false;
    }
    if (this.#rest.length <= CUT_CHARACTERS) return;
    if (!this.#dropping) this.#onLine(this.#rest);
    this.#dropping = true;
    this.#rest = '';
  }

  end(): void {
    if (this.#rest !== '' && !this.#dropping) this.#onLine(this.#rest);
    this.#rest = '';
  }
}
