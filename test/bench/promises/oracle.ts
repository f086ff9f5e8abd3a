/**
 * The oracle: a process of its own that is told a tool's marker and when to look, and nothing else. What it says comes from
 * the kernel alone; it has no address of a daemon and reads none of its files.
 */

import { createServer } from 'node:net';
import { type Counts, countsOf, type Holdings, holdingsOf, isAllGone, isEmpty, leftOf } from './holdings.ts';
import { Watch, type Watched } from './watch.ts';

/** One question. `marker` is in the environment or the arguments of every process of the tool. */
export type Question =
  /** What it holds now; kept for the two below. */
  | { readonly ask: 'note'; readonly marker: string }
  /** Looks every half millisecond until nothing is left, or the time is over. Answers `armed` first. */
  | { readonly ask: 'race'; readonly marker: string; readonly withinMs: number }
  /** What is there of it now. */
  | { readonly ask: 'left'; readonly marker: string }
  /** From now on its usage and its processes are looked at in this rhythm. */
  | { readonly ask: 'watch'; readonly markers: readonly string[]; readonly everyMs: number }
  | { readonly ask: 'watched'; readonly marker: string }
  | { readonly ask: 'forget'; readonly markers: readonly string[] };

/** Nanoseconds of CLOCK_MONOTONIC as text, which every process reads alike. Null: not within the time. */
export interface Race {
  readonly emptyNs: string | null;
  readonly allGoneNs: string | null;
  /** Ports that it listened on and that could be bound anew. */
  readonly ports: { readonly held: number; readonly bound: number };
}

export type Reply = Counts | Race | Watched | null;
export type Message =
  | { readonly id: number; readonly armed: true }
  | { readonly id: number; readonly value: Reply }
  | { readonly id: number; readonly error: string };

const LOOK_MS = 0.5;
const noted = new Map<string, Holdings>();
const watch = new Watch();
const cell = new Int32Array(new SharedArrayBuffer(4));

process.on('message', (message: Question & { readonly id: number }) => {
  answer(message)
    .then((value) => process.send?.({ id: message.id, value } satisfies Message))
    .catch((error: unknown) => process.send?.({ id: message.id, error: String(error) } satisfies Message));
});
// Whoever started it is gone.
process.once('disconnect', () => process.exit(0));

async function answer(question: Question & { readonly id: number }): Promise<Reply> {
  switch (question.ask) {
    case 'note': {
      const held = holdingsOf(question.marker);
      noted.set(question.marker, held);
      return countsOf(held);
    }
    case 'race':
      process.send?.({ id: question.id, armed: true } satisfies Message);
      // The message has to leave before this process looks at nothing else.
      await new Promise((resolve) => setTimeout(resolve, 5));
      return race(notedOf(question.marker), question.withinMs);
    case 'left':
      return leftOf(notedOf(question.marker));
    case 'watch':
      watch.add(question.markers, question.everyMs);
      return null;
    case 'watched':
      return watch.of(question.marker);
    case 'forget':
      for (const marker of question.markers) noted.delete(marker);
      watch.forget(question.markers);
      return null;
  }
}

function notedOf(marker: string): Holdings {
  const held = noted.get(marker);
  if (held === undefined) throw new Error('nothing was noted of this tool');
  return held;
}

async function race(held: Holdings, withinMs: number): Promise<Race> {
  const untilMs = performance.now() + withinMs;
  let emptyNs: bigint | null = null;
  let allGoneNs: bigint | null = null;
  while (allGoneNs === null && performance.now() < untilMs) {
    Atomics.wait(cell, 0, 0, LOOK_MS);
    if (emptyNs === null && isEmpty(held)) emptyNs = process.hrtime.bigint();
    if (emptyNs !== null && isAllGone(held)) allGoneNs = process.hrtime.bigint();
  }
  // Somebody who was born after the note, in no group that is known: then it was not empty.
  if (leftOf(held).processes > 0) [emptyNs, allGoneNs] = [null, null];
  let bound = 0;
  for (const port of held.listeners.values()) if (await canBind(port)) bound += 1;
  return {
    emptyNs: emptyNs?.toString() ?? null,
    allGoneNs: bound === held.listeners.size ? (allGoneNs?.toString() ?? null) : null,
    ports: { held: held.listeners.size, bound },
  };
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
