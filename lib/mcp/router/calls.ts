/** Requests of a merged view that say by a name or an id which server they are for. */

import { quietExchange } from '../bridge/quiet.ts';
import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Exchange } from '../wire/session.ts';
import { fieldsOf, isFields } from '../wire/shape.ts';
import { failure, shortly } from '../wire/text.ts';
import { thrown } from '../bridge/answers.ts';
import { LISTS } from './lists.ts';
import type { Member } from './member.ts';
import { isMadeUp } from './names.ts';
import type { Target } from './names.ts';
import { allEntries } from '../bridge/pages.ts';
import { targetsOf } from './resource-requests.ts';
import { RELATED_TASK, shownParams, shownResult } from './shown-entry.ts';
import type { View } from './view.ts';

export class Calls {
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
  }

  /** Tools and prompts. The path of every call: one look-up, one copy of the parameters. */
  named(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const name = request.params?.['name'];
    const target = typeof name === 'string' ? this.#view.names.find(name) : undefined;
    if (target === undefined) return Promise.resolve(this.#unknownName(request.method, name));
    const member = this.#view.member(target.server);
    if (!isMadeUp(target.rest) || request.method !== 'tools/call')
      return this.#send(member, renamed(request, target.rest), exchange);
    return guarded(async () => this.#send(member, renamed(request, await this.#toolOf(member, target)), exchange));
  }

  /** Its list tells which tool has this made-up name; a tool may also be called so by itself. */
  async #toolOf(member: Member, { server, rest }: Target): Promise<string> {
    const known = member.madeUp.get(rest);
    if (known !== undefined) return known;
    const { names, signal, settings } = this.#view;
    const list = LISTS.get('tools/list') ?? { method: 'tools/list', field: 'tools' };
    const exchange = quietExchange(AbortSignal.any([signal, AbortSignal.timeout(settings.listTimeoutMs)]));
    const tools = await allEntries(member.session, list, this.#view.ownParams(), exchange);
    const made = names.join(server, rest);
    for (const { name } of 'kind' in tools ? [] : tools)
      if (typeof name === 'string' && names.joinTool(server, name) === made) {
        member.madeUp.set(rest, name);
        return name;
      }
    return rest;
  }

  #send(member: Member, request: RequestBody, exchange: Exchange): Promise<Answer> {
    let answered: Promise<Answer>;
    try {
      answered = member.request(request, this.#exchangeOf(member, exchange), this.#view.level);
    } catch (error) {
      return Promise.resolve(thrown(error));
    }
    return answered.then((answer) => {
      if (answer.kind === 'error') return answer;
      const result = shownResult(this.#view, member, answer.result);
      return result === answer.result ? answer : { kind: 'result', result };
    });
  }

  #exchangeOf(member: Member, exchange: Exchange): Exchange {
    return {
      signal: exchange.signal,
      notify: (notification) => exchange.notify(this.shownNotification(member, notification)),
      ask: (request, signal) => exchange.ask(this.shownRequest(member, request), signal),
    };
  }

  #unknownName(method: string, name: unknown): Answer {
    const what = method === 'tools/call' ? 'tool' : 'prompt';
    const { separator } = this.#view.names;
    const hint = `here they are called SERVER${separator}NAME`;
    return failure(RPC_CODE.invalidParams, `There is no ${what} ${shortly(name)}; ${hint}`);
  }

  async complete(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const ref = fieldsOf(request.params?.['ref']);
    const { type, name, uri } = ref;
    const send = (member: Member, own: Fields): Promise<Answer> =>
      this.#send(member, { ...request, params: { ...request.params, ref: { ...ref, ...own } } }, exchange);
    if (type === 'ref/prompt') {
      const target = typeof name === 'string' ? this.#view.names.find(name) : undefined;
      if (target === undefined) return this.#unknownName('prompts/get', name);
      return send(this.#view.member(target.server), { name: target.rest });
    }
    if (type !== 'ref/resource' || typeof uri !== 'string')
      return failure(RPC_CODE.invalidParams, '"ref" must name a prompt or a resource');
    const found = await this.#templateTarget(uri);
    if (found === null) return failure(RPC_CODE.invalidParams, `No server has the template ${shortly(uri)}`, { uri });
    return send(found.member, { uri: found.uri });
  }

  async #templateTarget(uri: string): Promise<{ readonly member: Member; readonly uri: string } | null> {
    await this.#view.indexed(this.#view.members());
    const owner = this.#view.index.ownerOfTemplate(uri);
    if (owner !== undefined) return { member: this.#view.member(owner), uri };
    return (await targetsOf(this.#view, uri))[0] ?? null;
  }

  task(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const taskId = request.params?.['taskId'];
    const target = typeof taskId === 'string' ? this.#view.names.find(taskId) : undefined;
    if (taskId === undefined)
      return Promise.resolve(failure(RPC_CODE.methodNotFound, `${request.method} is not part of this revision`));
    if (target === undefined)
      return Promise.resolve(failure(RPC_CODE.invalidParams, `There is no task ${shortly(taskId)}`));
    const own = { ...request, params: { ...request.params, taskId: target.rest } };
    return this.#send(this.#view.member(target.server), own, exchange);
  }

  /** Of an extension: where it names something of one server, or there is only one, it goes there. */
  unknown(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const name = request.params?.['name'];
    const target = typeof name === 'string' ? this.#view.names.find(name) : undefined;
    if (target !== undefined)
      return this.#send(this.#view.member(target.server), renamed(request, target.rest), exchange);
    const [only, ...others] = this.#view.members();
    if (only !== undefined && others.length === 0) return this.#send(only, request, exchange);
    const message = `${request.method} does not say which server it is for; use the endpoint of that server`;
    return Promise.resolve(failure(RPC_CODE.methodNotFound, message));
  }

  /** Log lines that do not say where they come from are given the name of their server. */
  shownNotification(member: Member, notification: NotificationBody): NotificationBody {
    const { method, params } = notification;
    if (params === undefined || method === 'notifications/progress') return notification;
    if (method === 'notifications/message' && params['logger'] === undefined)
      return { method, params: { ...params, logger: member.name } };
    const shown = shownParams(this.#view, member, params);
    return shown === params ? notification : { method, params: shown };
  }

  shownRequest(member: Member, request: RequestBody): RequestBody {
    const { method, params } = request;
    if (params === undefined || !isFields(fieldsOf(params['_meta'])[RELATED_TASK])) return request;
    return { method, params: shownParams(this.#view, member, params) };
  }
}

function renamed({ method, params }: RequestBody, name: string): RequestBody {
  return { method, params: { ...params, name } };
}

export async function guarded(work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    return thrown(error);
  }
}
