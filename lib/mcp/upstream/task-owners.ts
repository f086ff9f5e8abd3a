/** Tasks of 2025-11-25 belong to the client that began them: nobody else may see, await or cancel them. */

import type { Fields, RequestId } from '../wire/message.ts';
import { isFields, metaOf } from '../wire/shape.ts';
import { META } from '../wire/protocol.ts';

/** A server that never ends its tasks must not fill the daemon; the oldest are forgotten first. */
const TASKS_MAX = 10_000;
const FINAL: ReadonlySet<unknown> = new Set(['completed', 'failed', 'cancelled']);

interface Task<Owner> {
  readonly owner: Owner;
  readonly sinceMs: number;
  /** How long the server keeps it, from its beginning; null: for ever; undefined: it has not said. */
  ttlMs: number | null | undefined;
  isFetched: boolean;
}

/** A task goes on reporting progress under the token of the request that began it (2025-11-25, basic/utilities/tasks). */
export interface TaskProgress<Owner> {
  readonly owner: Owner;
  /** The asker's own. */
  readonly token: RequestId;
}

export class TaskOwners<Owner> {
  readonly #monotonicMs: () => number;
  readonly #tasks = new Map<string, Task<Owner>>();
  /** By our number of the request. */
  readonly #progress = new Map<unknown, TaskProgress<Owner>>();
  readonly #numbers = new Map<string, number>();
  readonly #working = new Set<string>();
  /** Over, with a result that waits to be fetched, and until when: it is lost with the server's process. */
  readonly #waiting = new Map<string, number>();

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** Not yet in a final state, or with a result that the server still keeps for its client. */
  get open(): number {
    const nowMs = this.#monotonicMs();
    for (const [taskId, untilMs] of this.#waiting) if (untilMs <= nowMs) this.#waiting.delete(taskId);
    return this.#working.size + this.#waiting.size;
  }

  ownerOf(taskId: unknown): Owner | undefined {
    return typeof taskId === 'string' ? this.#tasks.get(taskId)?.owner : undefined;
  }

  /** A result that creates a task, or tells how it is. */
  seen(owner: Owner, result: Fields): void {
    const task = isFields(result['task']) ? result['task'] : result;
    const taskId = task['taskId'];
    if (typeof taskId !== 'string' || typeof task['status'] !== 'string') return;
    const known = this.#tasks.get(taskId);
    if (known === undefined)
      this.#tasks.set(taskId, { owner, sinceMs: this.#monotonicMs(), ttlMs: undefined, isFetched: false });
    this.#mark(taskId, task);
    const oldest = this.#tasks.keys().next();
    if (this.#tasks.size > TASKS_MAX && oldest.done !== true) this.#forget(oldest.value);
  }

  /** The answer to request `number` began a task. */
  began(owner: Owner, result: Fields, number: number, token: RequestId | undefined): void {
    const task = result['task'];
    if (!isFields(task) || typeof task['taskId'] !== 'string') return;
    this.seen(owner, result);
    if (token === undefined || !this.#working.has(task['taskId'])) return;
    this.#numbers.set(task['taskId'], number);
    this.#progress.set(number, { owner, token });
  }

  progressOf(number: unknown): TaskProgress<Owner> | undefined {
    return this.#progress.get(number);
  }

  /** `notifications/tasks/status`. @returns whose it is */
  status(params: Fields | undefined): Owner | undefined {
    const owner = this.ownerOf(params?.['taskId']);
    if (owner !== undefined) this.#mark(String(params?.['taskId']), params ?? {});
    return owner;
  }

  /** The server has answered `tasks/result`: the task is over, and its client has what came of it. */
  fetched(taskId: unknown): void {
    const task = typeof taskId === 'string' ? this.#tasks.get(taskId) : undefined;
    if (task === undefined) return;
    task.isFetched = true;
    this.#finish(String(taskId));
    this.#waiting.delete(String(taskId));
  }

  /** Only what belongs to the client. */
  filtered(owner: Owner, result: Fields): Fields {
    const { tasks } = result;
    if (!Array.isArray(tasks)) return result;
    return { ...result, tasks: tasks.filter((task) => isFields(task) && this.ownerOf(task['taskId']) === owner) };
  }

  leave(owner: Owner): void {
    for (const [taskId, theirs] of this.#tasks) if (theirs.owner === owner) this.#forget(taskId);
  }

  #mark(taskId: string, { status, ttl }: Fields): void {
    const task = this.#tasks.get(taskId);
    if (task === undefined) return;
    if (ttl === null || (typeof ttl === 'number' && Number.isFinite(ttl))) task.ttlMs = ttl;
    if (!FINAL.has(status)) {
      if (!task.isFetched) this.#working.add(taskId);
      return;
    }
    this.#finish(taskId);
    const { sinceMs, ttlMs, isFetched } = task;
    // One that was cancelled has none.
    if (status === 'cancelled' || isFetched || ttlMs === undefined) this.#waiting.delete(taskId);
    else this.#waiting.set(taskId, ttlMs === null ? Infinity : sinceMs + ttlMs);
  }

  #finish(taskId: string): void {
    this.#working.delete(taskId);
    this.#progress.delete(this.#numbers.get(taskId));
    this.#numbers.delete(taskId);
  }

  #forget(taskId: string): void {
    this.#tasks.delete(taskId);
    this.#waiting.delete(taskId);
    this.#finish(taskId);
  }
}

/** The task that a message says it belongs to. */
export function relatedTask(params: Fields | undefined): unknown {
  const related = metaOf(params)?.[META.relatedTask];
  return isFields(related) ? related['taskId'] : undefined;
}
