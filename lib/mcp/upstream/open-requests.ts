/** The requests that are open with one server: by our number, which is their progress token too. */

import type { Answer, Fields, NotificationBody, RequestBody, RequestId } from '../wire/message.ts';
import type { Exchange } from '../wire/session.ts';
import { metaOf } from '../wire/shape.ts';

/** What can make a server ask its client something. Lists and the like do not. */
export const MAKES_ASK: ReadonlySet<string> = new Set([
  'tools/call',
  'prompts/get',
  'resources/read',
  'completion/complete',
  'tasks/result',
]);

export interface OpenRequest<Owner> {
  readonly id: number;
  readonly owner: Owner;
  readonly method: string;
  readonly exchange: Exchange;
  /** The asker's own; undefined: it wants no progress. */
  readonly token: RequestId | undefined;
  settle(answer: Answer): void;
}

export class OpenRequests<Owner> {
  readonly #open = new Map<number, OpenRequest<Owner>>();
  readonly #byOwner = new Map<Owner, Set<OpenRequest<Owner>>>();
  #last = 0;
  #tokens = 0;

  get size(): number {
    return this.#open.size;
  }

  /** Of them, those that report progress. */
  get tokens(): number {
    return this.#tokens;
  }

  nextId(): number {
    return ++this.#last;
  }

  add(request: OpenRequest<Owner>): void {
    this.#open.set(request.id, request);
    if (request.token !== undefined) this.#tokens++;
    const own = this.#byOwner.get(request.owner);
    if (own === undefined) this.#byOwner.set(request.owner, new Set([request]));
    else own.add(request);
  }

  /** It is open no more. */
  take(id: unknown): OpenRequest<Owner> | undefined {
    const request = this.#open.get(id as number);
    if (request === undefined) return undefined;
    this.#open.delete(request.id);
    if (request.token !== undefined) this.#tokens--;
    const own = this.#byOwner.get(request.owner);
    own?.delete(request);
    if (own?.size === 0) this.#byOwner.delete(request.owner);
    return request;
  }

  get(id: unknown): OpenRequest<Owner> | undefined {
    return this.#open.get(id as number);
  }

  /** Oldest first. */
  of(owner: Owner): readonly OpenRequest<Owner>[] {
    return [...(this.#byOwner.get(owner) ?? [])];
  }

  /** The newest request of an owner, of these methods. */
  newestOf(owner: Owner, methods?: ReadonlySet<string>): OpenRequest<Owner> | undefined {
    let newest: OpenRequest<Owner> | undefined;
    for (const request of this.#byOwner.get(owner) ?? [])
      if (methods === undefined || methods.has(request.method)) newest = request;
    return newest;
  }

  takeAll(): readonly OpenRequest<Owner>[] {
    const all = [...this.#open.values()];
    this.#open.clear();
    this.#byOwner.clear();
    this.#tokens = 0;
    return all;
  }
}

/** The asker's token; undefined where it gave none. */
export function progressTokenOf(params: Fields | undefined): RequestId | undefined {
  const token = metaOf(params)?.['progressToken'];
  return typeof token === 'string' || typeof token === 'number' ? token : undefined;
}

/** The request under our number. */
export function numbered(request: RequestBody, id: number, token: RequestId | undefined): RequestBody {
  if (token === undefined) return request;
  const { params } = request;
  return { ...request, params: { ...params, _meta: { ...metaOf(params), progressToken: id } } };
}

/** Progress with the asker's own token in place of ours. */
export function withToken(notification: NotificationBody, token: RequestId): NotificationBody {
  return { method: notification.method, params: { ...notification.params, progressToken: token } };
}
