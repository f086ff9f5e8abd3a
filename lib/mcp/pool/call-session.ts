/**
 * A client's session with a tool of `sharing: call`: each request has a process of its own, which ends with its answer.
 * What would have to outlive the request is refused.
 */

import type { Answer, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import type { ChangedList } from './catalogue.ts';
import { dispatch } from './dispatch.ts';
import { errorAnswer, notStarted, refusedAnswer } from './errors.ts';
import { internalExchange } from './internal-client.ts';
import type { ServerProcess } from './process.ts';
import type { Member, ToolPool } from './tool-pool.ts';
import { unlessAborted } from './waiting.ts';

/** How long the client may take to come back with what the server wants to know. */
const INPUT_TIMEOUT_MS = 5 * 60_000;
/** Of one client. Over it, the oldest goes. */
const INPUTS_MAX = 16;
const LEVEL_TIMEOUT_MS = 5_000;

interface Awaiting {
  readonly process: ServerProcess;
  readonly timer: NodeJS.Timeout;
}

export class CallSession implements Session, Member {
  readonly client: Client;
  readonly process = null;
  readonly #pool: ToolPool;
  readonly #closed = new AbortController();
  #level: RequestBody | null = null;
  /** By the state that a server gave out with its question: only the process that did can go on from it. */
  readonly #awaiting = new Map<unknown, Awaiting>();

  constructor(pool: ToolPool, client: Client) {
    this.#pool = pool;
    this.client = client;
    pool.join(this);
  }

  describe(signal: AbortSignal): Promise<ServerDescription> {
    return unlessAborted(this.#pool.describe(this.client), signal);
  }

  async request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { name } = this.#pool;
    if (this.#closed.signal.aborted) return errorAnswer(RPC_CODE.invalidRequest, `${name}: the session is closed`);
    const refusal = outlives(name, request);
    if (refusal !== null) return refusal;
    if (request.method === 'logging/setLevel') {
      this.#level = request;
      return { kind: 'result', result: {} };
    }
    try {
      return this.#pool.listed(this.client, request) ?? (await this.#call(request, exchange));
    } catch (error) {
      return notStarted(name, error);
    }
  }

  notify(): void {
    // Between two requests there is no server to be told.
  }

  async close(reason: string): Promise<void> {
    this.#closed.abort(new Error(reason));
    const processes = [...this.#awaiting.values()].map(({ process, timer }) => {
      clearTimeout(timer);
      return process.stop('context_ended', 'stopped: its client has gone');
    });
    this.#awaiting.clear();
    await Promise.all([...processes, this.#pool.leave(this)]);
  }

  listsChanged(lists: readonly ChangedList[]): void {
    for (const list of lists) this.client.notify({ method: `notifications/${list}/list_changed` });
  }

  async #call(request: RequestBody, asked: Exchange): Promise<Answer> {
    const { calls, name } = this.#pool;
    const signal = AbortSignal.any([asked.signal, this.#closed.signal]);
    if (!(await calls.enter()))
      return refusedAnswer(`${name}: too many calls wait for a process of their own`, {
        tool: name,
        retryAfterMs: 1_000,
      });
    let process: ServerProcess | null = null;
    let answer: Answer | null = null;
    try {
      signal.throwIfAborted();
      process = this.#takeAwaiting(request) ?? (await this.#pool.temporary(this.client));
      answer = await this.#ask(process, request, { signal, ...bound(asked) });
      return answer;
    } finally {
      // The place is that of the process, to its proven end.
      if (process === null || this.#await(process, answer)) calls.leave();
      else void process.stop('context_ended', 'stopped: its call is over').then(() => calls.leave());
    }
  }

  async #ask(process: ServerProcess, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const session = process.upstream.attach(this.client);
    if (this.#level !== null && this.client.era === 'legacy')
      void session.request(this.#level, internalExchange(AbortSignal.timeout(LEVEL_TIMEOUT_MS)));
    const answer = await dispatch(this.#pool, { process, session }, this.client, request, exchange);
    void session.close('its call is over');
    return answer;
  }

  #takeAwaiting({ params }: RequestBody): ServerProcess | null {
    const state = params?.['requestState'];
    const found = state === undefined ? undefined : this.#awaiting.get(state);
    if (found === undefined) return null;
    clearTimeout(found.timer);
    this.#awaiting.delete(state);
    return found.process.usable ? found.process : null;
  }

  /** Keeps the process of a question until its answer comes. @returns false where there is no question */
  #await(process: ServerProcess, answer: Answer | null): boolean {
    const result = answer?.kind === 'result' ? answer.result : {};
    const state = result['requestState'];
    if (result['resultType'] !== 'input_required' || state === undefined || this.#closed.signal.aborted) return false;
    const drop = (key: unknown, why: string): void => {
      const dropped = this.#awaiting.get(key);
      if (dropped === undefined) return;
      clearTimeout(dropped.timer);
      this.#awaiting.delete(key);
      void dropped.process.stop('context_ended', why);
    };
    const timer = setTimeout(() => drop(state, 'stopped: its client did not come back'), INPUT_TIMEOUT_MS);
    timer.unref();
    this.#awaiting.set(state, { process, timer });
    const oldest = this.#awaiting.keys().next();
    if (this.#awaiting.size > INPUTS_MAX && oldest.done !== true)
      drop(oldest.value, 'stopped: too many calls wait for their client');
    return true;
  }
}

/** The methods of an exchange may need their object. */
function bound(exchange: Exchange): Pick<Exchange, 'notify' | 'ask'> {
  return {
    notify: (notification) => exchange.notify(notification),
    ask: (request, signal) => exchange.ask(request, signal),
  };
}

const OUTLIVING = ['resources/subscribe', 'resources/unsubscribe', 'subscriptions/listen'];

function outlives(name: string, { method, params }: RequestBody): Answer | null {
  const isTask = method.startsWith('tasks/') || params?.['task'] !== undefined;
  if (!isTask && !OUTLIVING.includes(method)) return null;
  const what = isTask ? 'a task' : 'a subscription';
  return errorAnswer(
    RPC_CODE.methodNotFound,
    `${name}: each call has a process of its own (sharing: call), which ${what} would outlive`,
    { tool: name },
  );
}
