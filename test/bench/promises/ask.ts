/** Starts the oracle, and asks it. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestScope } from '../../helpers/fixture.ts';
import type { Counts } from './holdings.ts';
import type { Message, Question, Race, Reply } from './oracle.ts';
import type { Watched } from './watch.ts';

export class Oracle {
  readonly #child: ChildProcess;
  readonly #open = new Map<
    number,
    { armed: () => void; resolve: (value: Reply) => void; reject: (error: Error) => void }
  >();
  #last = 0;

  /** Ends with the bench. Its environment has nothing that leads to a daemon. */
  constructor(t: TestScope) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GOVERNOR_')));
    this.#child = fork(fileURLToPath(new URL('oracle.js', import.meta.url)), { env });
    this.#child.on('message', (message: Message) => this.#take(message));
    this.#child.once('exit', (code, signal) => {
      for (const { reject } of this.#open.values()) reject(new Error(`the oracle ended: ${String(code ?? signal)}`));
    });
    t.teardown(() => void this.#child.kill());
  }

  note(marker: string): Promise<Counts> {
    return this.#ask({ ask: 'note', marker }) as Promise<Counts>;
  }

  left(marker: string): Promise<Counts> {
    return this.#ask({ ask: 'left', marker }) as Promise<Counts>;
  }

  /** Resolves once the oracle looks; `over` when nothing is left or the time has passed. */
  async race(marker: string, withinMs: number): Promise<{ readonly over: Promise<Race> }> {
    let armed = (): void => undefined;
    const looking = new Promise<void>((resolve) => (armed = resolve));
    const over = this.#ask({ ask: 'race', marker, withinMs }, armed) as Promise<Race>;
    await Promise.race([looking, over]);
    // Its message comes a moment before its first look.
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { over };
  }

  async watch(markers: readonly string[], everyMs: number): Promise<void> {
    await this.#ask({ ask: 'watch', markers, everyMs });
  }

  watched(marker: string): Promise<Watched> {
    return this.#ask({ ask: 'watched', marker }) as Promise<Watched>;
  }

  async forget(markers: readonly string[]): Promise<void> {
    await this.#ask({ ask: 'forget', markers });
  }

  #ask(question: Question, armed: () => void = () => undefined): Promise<Reply> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { armed, resolve, reject });
      this.#child.send({ ...question, id });
    });
  }

  #take(message: Message): void {
    const open = this.#open.get(message.id);
    if (open === undefined) return;
    if ('armed' in message) return void open.armed();
    this.#open.delete(message.id);
    if ('error' in message) open.reject(new Error(message.error));
    else open.resolve(message.value);
    return undefined;
  }
}
