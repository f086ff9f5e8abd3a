/** Where a notification of the server goes: to exactly the client that it belongs to, or to nobody. */

import type { NotificationBody } from '../wire/message.ts';
import { META } from '../wire/protocol.ts';
import type { Client } from '../wire/session.ts';
import { metaOf } from '../wire/shape.ts';
import type { Attachment, Shared } from './attachment.ts';
import { busiestOf, busyClients } from './busy.ts';
import { withToken } from './open-requests.ts';
import type { StreamOf } from './server-requests.ts';
import { tellEach } from './tell-each.ts';
import { relatedTask } from './task-owners.ts';
import type { Stale } from './upstream.ts';

export type ChangedList = 'tools' | 'resources' | 'prompts';

const UPDATED = 'notifications/resources/updated';
const CHANGED: ReadonlyMap<string, ChangedList> = new Map([
  ['notifications/tools/list_changed', 'tools'],
  ['notifications/resources/list_changed', 'resources'],
  ['notifications/prompts/list_changed', 'prompts'],
]);

export interface NoticesOptions {
  readonly shared: Shared;
  /** Governor's own stream of a modern server: what comes there is for all. */
  isOwn(subscriptionId: unknown): boolean;
  /** Whoever the notification is for. */
  onStale(what: Stale): void;
  onListChanged(list: ChangedList): void;
  onCancelled(params: NotificationBody['params']): void;
  /** Belongs to nobody who could be told. */
  onUnattributed(notification: NotificationBody): void;
}

/** @param call on the stream of whose answer it came */
export function routeNotice(
  notification: NotificationBody,
  options: NoticesOptions,
  call?: StreamOf<Attachment>,
): void {
  const { conversation, interests, tasks, clients, elicitations } = options.shared;
  const { method, params } = notification;
  const list = CHANGED.get(method);
  const listen = metaOf(params)?.[META.subscriptionId];
  const uri = params?.['uri'];
  if (list !== undefined) options.onStale({ kind: 'list', list });
  if (method === UPDATED && typeof uri === 'string') options.onStale({ kind: 'resource', uri });
  if (method === 'notifications/progress') {
    // Unknown tokens are dropped: clients end the conversation over them.
    const request = conversation.requests.get(params?.['progressToken']);
    const task = request === undefined ? tasks.progressOf(params?.['progressToken']) : undefined;
    if (request?.token !== undefined) request.exchange.notify(withToken(notification, request.token));
    else if (task !== undefined) task.owner.client.notify(withToken(notification, task.token));
    else options.onUnattributed(notification);
    return;
  }
  if (method === 'notifications/cancelled') return options.onCancelled(params);
  if (listen !== undefined && !options.isOwn(listen)) {
    const stream = conversation.requests.get(Number(listen));
    if (stream === undefined) options.onUnattributed(notification);
    else stream.exchange.notify(notification);
    return;
  }
  if (list !== undefined) {
    // About the server, and for everyone who is there.
    options.onListChanged(list);
    const told = listen === undefined ? notification : { method };
    tellEach(clients, ({ client }) => client.notify(told), options.shared);
    return;
  }
  if (method === UPDATED) {
    const subscribers = interests.subscribersOf(String(params?.['uri']));
    return tellEach(subscribers, ({ client }) => client.notify(notification), options.shared);
  }
  if (method === 'notifications/elicitation/complete') {
    const owner = elicitations.completed(params);
    return owner === undefined
      ? options.onUnattributed(notification)
      : toldBy(owner, options.shared).notify(notification);
  }
  if (method === 'notifications/tasks/status') return tasks.status(params)?.client.notify(notification);
  toItsClient(notification, options, call);
}

/** Log lines, and what no revision knows yet: nothing names a client in them. */
function toItsClient(
  notification: NotificationBody,
  { shared, onUnattributed }: NoticesOptions,
  call: StreamOf<Attachment>,
): void {
  const { conversation, interests, tasks, cancelled, clients } = shared;
  const { method, params } = notification;
  const isLog = method === 'notifications/message';
  const level = params?.['level'];
  const admitted = (owner: Attachment): boolean => !isLog || interests.admits(owner, level);
  if (call !== undefined && call !== 'over') {
    if (admitted(call.owner)) call.exchange.notify(notification);
    return;
  }
  const task = tasks.ownerOf(relatedTask(params));
  // Who has cancelled a call does not wait for what is said of it.
  if (call === 'over' && task === undefined) return;
  const busy = task === undefined ? busyClients(clients, conversation.requests, cancelled.owners) : [task];
  const [first, second] = busy;
  if (first !== undefined && second === undefined) {
    if (!clients.has(first) || !admitted(first)) return;
    return toldBy(first, shared).notify(notification);
  }
  if (second !== undefined) return onUnattributed(notification);
  const [only] = clients;
  if (clients.size === 1 && only !== undefined) {
    if (admitted(only)) only.client.notify(notification);
    return;
  }
  // Between requests: it is about the server itself, and for those who asked to hear its log.
  if (!isLog) return onUnattributed(notification);
  tellEach(interests.listenersOf(level), ({ client }) => client.notify(notification), shared);
}

/** Beside its open call, where it has one. */
function toldBy(owner: Attachment, { conversation }: Shared): Pick<Client, 'notify'> {
  return busiestOf(owner, conversation.requests)?.exchange ?? owner.client;
}
