/** Who wants to hear of one server: the pool of its end, the gateway of its lists, the cache of what is stale, calls of questions. */

import type { Client } from '../wire/session.ts';
import type { Warner } from '../wire/text.ts';
import type { ChangedList } from './notices.ts';
import { tellEach } from './tell-each.ts';
import type { QuestionListener, Stale } from './upstream.ts';

export class UpstreamListeners {
  readonly #warner: Warner;
  readonly #ends = new Set<(reason: string) => void>();
  readonly #lists = new Set<(list: ChangedList) => void>();
  readonly #stale = new Set<(what: Stale) => void>();
  readonly #questions = new Set<QuestionListener>();

  /** @param warner is told of a listener that throws, where others go on */
  constructor(warner: Warner) {
    this.#warner = warner;
  }

  /** Each of these returns what takes the listener away again. */
  onEnd(listener: (reason: string) => void): () => void {
    this.#ends.add(listener);
    return () => void this.#ends.delete(listener);
  }

  onListChanged(listener: (list: ChangedList) => void): () => void {
    this.#lists.add(listener);
    return () => void this.#lists.delete(listener);
  }

  onStale(listener: (what: Stale) => void): () => void {
    this.#stale.add(listener);
    return () => void this.#stale.delete(listener);
  }

  onQuestions(listener: QuestionListener): void {
    this.#questions.add(listener);
  }

  /** Once: nobody hears of a second end. */
  ended(reason: string): void {
    tellEach(this.#ends, (listener) => listener(reason), this.#warner);
    this.#ends.clear();
  }

  listChanged(list: ChangedList): void {
    tellEach(this.#lists, (listener) => listener(list), this.#warner);
  }

  stale(what: Stale): void {
    for (const listener of this.#stale) listener(what);
  }

  asked(context: Client['context']): void {
    for (const listener of this.#questions) listener.onQuestion(context);
  }

  answered(): void {
    for (const listener of this.#questions) listener.onQuestionOver();
  }
}
