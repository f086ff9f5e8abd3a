/** All servers as one, for one client. */

import type { BridgeOptions } from '../bridge/bridge.ts';
import { SERVER_INFO } from '../bridge/era-names.ts';
import { isLogLevel } from '../bridge/levels.ts';
import { UPDATED } from '../bridge/listen-filter.ts';
import { Listens } from '../bridge/listens.ts';
import type { Answer, Fields, NotificationBody, RequestBody } from '../wire/message.ts';
import { LEGACY_VERSIONS, MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Servers, Session } from '../wire/session.ts';
import { failure, success } from '../wire/text.ts';
import { Calls, guarded } from './calls.ts';
import { CHANGED_LISTS, LISTS, changedBy } from './lists.ts';
import type { ChangedList } from './lists.ts';
import { Member } from './member.ts';
import { mergeInstructions, viewCapabilities } from './merge.ts';
import { mergedList } from './merged-list.ts';
import type { MergedNames } from './names.ts';
import type { Patience } from './patience.ts';
import { readResource, subscribe, subscribedAs, unsubscribe } from './resource-requests.ts';
import type { RouterSettings } from './settings.ts';
import { View } from './view.ts';

export interface MergedSessionOptions {
  readonly servers: Servers;
  readonly client: Client;
  readonly names: () => MergedNames;
  readonly settings: RouterSettings;
  readonly patience: Patience;
  readonly bridge: Partial<BridgeOptions>;
  readonly info: Fields;
  readonly onClose: () => void;
}

const SUBSCRIBE_TIMEOUT_MS = 10_000;
/** Of a modern client's streams: lists of this view always tell of their changes, and Governor finds who has a resource. */
const LISTENABLE: Fields = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
};

export class MergedSession implements Session {
  readonly #options: MergedSessionOptions;
  readonly #client: Client;
  readonly #view: View;
  readonly #calls: Calls;
  readonly #listens: Listens;
  readonly #changes = new Set<ChangedList>();
  #changeTimer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | null = null;

  constructor(options: MergedSessionOptions) {
    const { client, settings, patience, info, names, servers, bridge } = options;
    this.#options = options;
    this.#client = client;
    this.#view = new View({
      client,
      settings,
      patience,
      info,
      names,
      changed: (list) => this.#changed(list),
      join: (name, part, signal) => {
        const member: Member = new Member({
          name,
          part,
          signal,
          servers,
          client,
          bridge,
          tell: (notification) => this.#fromServer(member, notification),
          ask: (request, signal) => client.ask(this.#calls.shownRequest(member, request), signal),
        });
        return member;
      },
    });
    this.#calls = new Calls(this.#view);
    const subscriptions = { request: (request: RequestBody) => guarded(() => this.#subscription(request)) };
    this.#listens = new Listens(subscriptions, SUBSCRIBE_TIMEOUT_MS);
  }

  async describe(signal: AbortSignal): Promise<ServerDescription> {
    const { era } = this.#client;
    const members = this.#view.members();
    const all = await Promise.all(members.map((member) => this.#view.described(member, signal)));
    const isWhole = all.every((one) => one !== null);
    const capabilities = viewCapabilities(
      all.flatMap((one) => (one === null ? [] : [one.capabilities])),
      isWhole,
    );
    const instructions = mergeInstructions(
      members.map(({ name, part }, index) => ({ server: name, part, instructions: all[index]?.instructions })),
      this.#view.names.separator,
    );
    return describeView(era, this.#options.info, capabilities, instructions);
  }

  request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { method, params } = request;
    if (this.#closed !== null) return Promise.resolve(failure(RPC_CODE.stopped, 'The session is closed'));
    if (method === 'tools/call') return this.#calls.named(request, exchange);
    const list = LISTS.get(method);
    if (list !== undefined && (this.#client.era === 'legacy' || list.isOfTasks !== true))
      return mergedList(this.#view, list, params, exchange);
    switch (method) {
      case 'prompts/get':
        return this.#calls.named(request, exchange);
      case 'resources/read':
        return guarded(() => readResource(this.#view, request, exchange));
      case 'completion/complete':
        return guarded(() => this.#calls.complete(request, exchange));
      case 'ping':
        return Promise.resolve(success());
      case 'logging/setLevel':
        return Promise.resolve(this.#setLevel(params?.['level']));
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        return guarded(() => this.#subscription(request, exchange));
      case 'subscriptions/listen':
        return this.#listens.open(params, LISTENABLE, exchange);
    }
    if (method.startsWith('tasks/')) return this.#calls.task(request, exchange);
    return this.#calls.unknown(request, exchange);
  }

  notify(notification: NotificationBody): void {
    const { method, params } = notification;
    const taskId = params?.['taskId'];
    const target = typeof taskId === 'string' ? this.#view.names.find(taskId) : undefined;
    if (target !== undefined)
      return this.#view.member(target.server).notify({ method, params: { ...params, taskId: target.rest } });
    // What the client says of itself is for each server that it works with.
    for (const member of this.#view.opened()) member.notify(notification);
  }

  /** Servers came or went. */
  refresh(): void {
    this.#view.refresh();
    for (const list of CHANGED_LISTS) this.#changed(list);
  }

  close(reason: string): Promise<void> {
    if (this.#closed === null) {
      clearTimeout(this.#changeTimer);
      this.#options.onClose();
      this.#listens.close();
      this.#closed = this.#view.close(reason);
    }
    return this.#closed;
  }

  #setLevel(level: unknown): Answer {
    if (!isLogLevel(level)) return failure(RPC_CODE.invalidParams, 'There is no such log level');
    this.#view.level = level;
    return success();
  }

  /** As of 2025-11-25; a modern client's streams are made of these too. */
  #subscription({ method, params }: RequestBody, exchange?: Exchange): Promise<Answer> {
    const uri = params?.['uri'];
    if (typeof uri !== 'string') return Promise.resolve(failure(RPC_CODE.invalidParams, '"uri" must be a string'));
    const change = method === 'resources/subscribe' ? subscribe : unsubscribe;
    return change(this.#view, uri, ({ member, uri: own }) => {
      if (exchange !== undefined && this.#client.era === 'legacy')
        return member.request({ method, params: { ...params, uri: own } }, exchange, this.#view.level);
      return method === 'resources/subscribe'
        ? member.stream.subscribe(own, this.#view.signal)
        : member.stream.unsubscribe(own);
    });
  }

  #fromServer(member: Member, notification: NotificationBody): void {
    if (this.#closed !== null) return;
    const { method, params } = notification;
    const list = changedBy(method);
    if (list === 'resources') this.#view.forgetResources(member);
    if (list !== undefined) return this.#changed(list);
    const uri = params?.['uri'];
    if (method === UPDATED && typeof uri === 'string') {
      for (const shown of subscribedAs(this.#view, member, uri))
        this.#tell({ method, params: { ...params, uri: shown } });
      return;
    }
    this.#tell(this.#calls.shownNotification(member, notification));
  }

  #changed(list: ChangedList): void {
    if (this.#closed !== null) return;
    this.#changes.add(list);
    if (this.#changeTimer !== undefined) return;
    this.#changeTimer = setTimeout(() => {
      this.#changeTimer = undefined;
      const changes = [...this.#changes];
      this.#changes.clear();
      for (const change of changes) this.#tell({ method: `notifications/${change}/list_changed` });
    }, this.#options.settings.coalesceMs);
    this.#changeTimer.unref();
  }

  #tell(notification: NotificationBody): void {
    this.#listens.notify(notification);
    this.#client.notify(notification);
  }
}

function describeView(
  era: Client['era'],
  info: Fields,
  capabilities: Fields,
  instructions: string | undefined,
): ServerDescription {
  const said = { capabilities, ...(instructions === undefined ? {} : { instructions }) };
  const protocolVersion = era === 'legacy' ? LEGACY_VERSIONS[0] : MODERN_VERSIONS[0];
  const raw: Fields =
    era === 'legacy'
      ? { ...said, protocolVersion, serverInfo: info }
      : {
          ...said,
          resultType: 'complete',
          supportedVersions: [...MODERN_VERSIONS],
          ttlMs: 0,
          cacheScope: 'private',
          _meta: { [SERVER_INFO]: info },
        };
  return { era, protocolVersion, info, ...said, raw };
}
