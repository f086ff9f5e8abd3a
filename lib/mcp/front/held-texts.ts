/**
 * What waits for a client to open its stream, in order and in bounds. Of notifications the oldest go first: they are hints that
 * something changed. Questions are only taken while there is room.
 */

const MAX_TEXTS = 256;

interface Held {
  readonly text: string;
  readonly isNotification: boolean;
}

export class HeldTexts {
  readonly #maxLength: number;
  readonly #texts = new Map<number, Held>();
  #length = 0;

  /** @param maxBytes of all texts; one by itself may be larger */
  constructor(maxBytes: number) {
    this.#maxLength = maxBytes;
  }

  /** @returns false for a question for which there is no room */
  hold(number: number, text: string, isNotification: boolean): boolean {
    const full = (): boolean => this.#texts.size >= MAX_TEXTS || this.#length + text.length > this.#maxLength;
    for (const [oldest, held] of this.#texts) {
      if (!isNotification || !full()) break;
      if (held.isNotification) this.release(oldest);
    }
    if (full() && !(isNotification && this.#texts.size === 0)) return false;
    this.#texts.set(number, { text, isNotification });
    this.#length += text.length;
    return true;
  }

  /** @returns false when it waits no more */
  release(number: number): boolean {
    const held = this.#texts.get(number);
    if (held === undefined) return false;
    this.#length -= held.text.length;
    return this.#texts.delete(number);
  }

  /** In the order in which they came. */
  takeAll(): readonly string[] {
    const texts = [...this.#texts.values()].map(({ text }) => text);
    this.#texts.clear();
    this.#length = 0;
    return texts;
  }
}
