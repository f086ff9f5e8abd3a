/** Tasks of 2025-11-25 belong to the client that began them: nobody else may see, await or cancel them. */

import type { Fields, RequestId } from '../wire/message.ts';
import { isFields, metaOf } from '../wire/shape.ts';
import { META } from '../wire/protocol.ts';

/** A server that never ends its tasks must not fill the daemon; the oldest are forgotten first. */
const TASKS_MAX = 10_000;
const FINAL: ReadonlySet<unknown> = new Set(['completed', 'failed', 'cancelled']);

/** A task goes on reporting progress under the token of the request that began it (2025-11-25, basic/utilities/tasks). */
export interface TaskProgress<Owner> {
  readonly owner: Owner;
  /** The asker's own. */
  readonly token: RequestId;
}

export class TaskOwners<Owner> {
  readonly #owners = new Map<string, Owner>();
  /** By our number of the request. */
  readonly #progress = new Map<unknown, TaskProgress<Owner>>();
  readonly #numbers = new Map<string, number>();
  readonly #working = new Set<string>();

  /** Not yet in a final state. */
  get working(): number {
    return this.#working.size;
  }

  ownerOf(taskId: unknown): Owner | undefined {
    return typeof taskId === 'string' ? this.#owners.get(taskId) : undefined;
  }

  /** A result that creates a task, or tells how it is. */
  seen(owner: Owner, result: Fields): void {
    const task = isFields(result['task']) ? result['task'] : result;
    const taskId = task['taskId'];
    if (typeof taskId !== 'string' || typeof task['status'] !== 'string') return;
    this.#owners.set(taskId, this.#owners.get(taskId) ?? owner);
    this.#mark(taskId, task['status']);
    const oldest = this.#owners.keys().next();
    if (this.#owners.size > TASKS_MAX && oldest.done !== true) this.#forget(oldest.value);
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
    if (owner !== undefined) this.#mark(String(params?.['taskId']), params?.['status']);
    return owner;
  }

  /** Only what belongs to the client. */
  filtered(owner: Owner, result: Fields): Fields {
    const { tasks } = result;
    if (!Array.isArray(tasks)) return result;
    return { ...result, tasks: tasks.filter((task) => isFields(task) && this.ownerOf(task['taskId']) === owner) };
  }

  leave(owner: Owner): void {
    for (const [taskId, theirs] of this.#owners) if (theirs === owner) this.#forget(taskId);
  }

  #mark(taskId: string, status: unknown): void {
    if (!FINAL.has(status)) this.#working.add(taskId);
    else this.#finish(taskId);
  }

  #finish(taskId: string): void {
    this.#working.delete(taskId);
    this.#progress.delete(this.#numbers.get(taskId));
    this.#numbers.delete(taskId);
  }

  #forget(taskId: string): void {
    this.#owners.delete(taskId);
    this.#finish(taskId);
  }
}

/** The task that a message says it belongs to. */
export function relatedTask(params: Fields | undefined): unknown {
  const related = metaOf(params)?.[META.relatedTask];
  return isFields(related) ? related['taskId'] : undefined;
}
