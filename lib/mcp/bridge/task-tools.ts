/**
 * Tools of a legacy server that can only be called as tasks (`execution.taskSupport: "required"`, 2025-11-25). The modern era has no such
 * tools and other tasks; its client just calls, and Governor waits for the end of the task in its name.
 */

import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import type { Exchange, Session } from '../wire/session.ts';
import { fieldsOf, isFields } from '../wire/shape.ts';
import { allEntries } from './pages.ts';
import { quietExchange, quietly } from './quiet.ts';

const LIST_TIMEOUT_MS = 10_000;
const CANCEL_TIMEOUT_MS = 5_000;
const NONE: ReadonlySet<string> = new Set();

export class TaskTools {
  readonly #session: Session;
  #known: ReadonlySet<string> | null = null;
  #reading: Promise<ReadonlySet<string>> | null = null;
  /** Counts changes of the list. */
  #generation = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Its list has changed. */
  forget(): void {
    this.#generation++;
    this.#known = null;
    this.#reading = null;
  }

  needsTask(tool: unknown): boolean | Promise<boolean> {
    const has = (known: ReadonlySet<string>): boolean => typeof tool === 'string' && known.has(tool);
    return this.#known === null ? (this.#reading ??= this.#read()).then(has) : has(this.#known);
  }

  /** @param exchange of the whole call; `request` is what the client wants, in the words of the legacy era */
  async run({ method, params }: RequestBody, exchange: Exchange): Promise<Answer> {
    const created = await this.#session.request({ method, params: { ...params, task: {} } }, exchange);
    const task = created.kind === 'result' ? created.result['task'] : undefined;
    const taskId = fieldsOf(task)['taskId'];
    // Refused, or done at once.
    if (typeof taskId !== 'string') return created;
    const { signal } = exchange;
    const cancel = (): void => void quietly(this.#session, 'tasks/cancel', { taskId }, CANCEL_TIMEOUT_MS);
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel);
    const answer = await this.#session.request({ method: 'tasks/result', params: { taskId } }, exchange);
    signal.removeEventListener('abort', cancel);
    return answer;
  }

  async #read(): Promise<ReadonlySet<string>> {
    const generation = this.#generation;
    const list = { method: 'tools/list', field: 'tools' };
    const tools = await allEntries(this.#session, list, {}, quietExchange(AbortSignal.timeout(LIST_TIMEOUT_MS)));
    const found = 'kind' in tools ? NONE : new Set(tools.filter(isRequired).map(({ name }) => String(name)));
    // Where it could not be read, or has changed meanwhile, the next call reads it again; this one goes by what was found.
    if (generation === this.#generation) {
      this.#reading = null;
      if (!('kind' in tools)) this.#known = found;
    }
    return found;
  }
}

function isRequired({ execution }: Fields): boolean {
  return fieldsOf(execution)['taskSupport'] === 'required';
}

/** Of the server: whether it takes calls as tasks at all. */
export function hasTaskCalls(capabilities: unknown): boolean {
  const requests = fieldsOf(fieldsOf(fieldsOf(capabilities)['tasks'])['requests']);
  return isFields(fieldsOf(requests['tools'])['call']);
}
