/**
 * A client's session with one tool, whatever its process does: it finds the process when a request needs one, starts another
 * when that has gone, and makes good there what the client believes to have set (log level, subscriptions). A request that
 * was sent is never sent again.
 */

import type { Pressure } from '../../supervisor/run-events.ts';
import type { ServedRun } from '../../supervisor/served.ts';
import { isLogLevel } from '../upstream/interests.ts';
import type { Answer, NotificationBody, RequestBody } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription, Session } from '../wire/session.ts';
import { isList } from './catalogue.ts';
import type { ChangedList } from './catalogue.ts';
import { dispatch } from './dispatch.ts';
import { errorAnswer, notStarted } from './errors.ts';
import { internalExchange } from './internal-client.ts';
import { admitsWarning, pressureMessage } from './pressure.ts';
import type { Attached, ServerProcess } from './process.ts';
import { ClientRoots, hasRoots } from './roots.ts';
import type { Member, ToolPool } from './tool-pool.ts';
import { unlessAborted } from './waiting.ts';

interface Attachment extends Attached {
  readonly process: ServerProcess;
  readonly session: Session;
  open: number;
}

const RESTORE_TIMEOUT_MS = 5_000;
/** Whose roots change all the time goes on with those of then. */
const ACQUIRED_MOST = 3;
/** Of one client; the server has bounds of its own. */
const SUBSCRIPTIONS_MAX = 1_000;

export class PoolSession implements Session, Member {
  readonly client: Client;
  readonly #pool: ToolPool;
  #attachment: Attachment | null = null;
  #waking: Promise<Attachment> | null = null;
  readonly #roots: ClientRoots;
  #rootsUntold = false;
  #level: string | null = null;
  readonly #subscriptions = new Map<string, RequestBody>();
  /** Requests under way that told their log level (modern clients). */
  readonly #listening = new Set<Exchange>();
  #closed: Promise<void> | null = null;

  constructor(pool: ToolPool, client: Client) {
    this.#pool = pool;
    this.client = client;
    this.#roots = new ClientRoots(client);
    pool.join(this);
  }

  get process(): ServerProcess | null {
    return this.#attachment?.process ?? null;
  }

  async describe(signal: AbortSignal): Promise<ServerDescription> {
    return this.#attachment?.process.description ?? unlessAborted(this.#pool.describe(this.client), signal);
  }

  request(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const attachment = this.#attachment;
    if (attachment !== null && attachment.process.usable) return this.#send(attachment, request, exchange);
    return this.#requestAsleep(request, exchange);
  }

  notify(notification: NotificationBody): void {
    if (notification.method === 'notifications/roots/list_changed') {
      this.#roots.forget();
      // Others share its process for roots that are no longer its own: told is the one that its roots lead to now.
      if (this.#attachment?.process.run.context === null) {
        this.#rootsUntold = true;
        return this.#leaveProcess();
      }
    }
    // A server that sleeps has nothing to be told of.
    this.#attachment?.session.notify(notification);
  }

  close(reason: string): Promise<void> {
    this.#closed ??= this.#close(reason);
    return this.#closed;
  }

  listsChanged(lists: readonly ChangedList[]): void {
    for (const list of lists) this.client.notify({ method: `notifications/${list}/list_changed` });
  }

  async #close(reason: string): Promise<void> {
    const attachment = this.#attachment;
    this.#attachment = null;
    if (attachment !== null) {
      attachment.process.attached.delete(attachment);
      await attachment.session.close(reason);
      attachment.process.used();
    }
    await this.#pool.leave(this);
  }

  async #requestAsleep(request: RequestBody, exchange: Exchange): Promise<Answer> {
    const { name } = this.#pool;
    if (this.#closed !== null) return errorAnswer(RPC_CODE.invalidRequest, `${name}: the session is closed`);
    try {
      const kept = this.#pool.listed(this.client, request);
      if (kept !== null) return kept;
      if (this.#isForLater(request)) {
        this.#note(request);
        return { kind: 'result', result: {} };
      }
      this.#leaveProcess();
      if (isList(request.method)) {
        const { sharing } = this.#pool.current().definition;
        if ((await this.#roots.keyForList(sharing, exchange)) === undefined)
          return await unlessAborted(this.#pool.readList(this.client, request, exchange), exchange.signal);
      }
      // Its client may need this read for what it says of its roots, which it was asked for by another request.
      const mayBeNeeded = request.method === 'resources/read' && this.#roots.isAsked;
      const goesAside = mayBeNeeded && (await unlessAborted(this.#roots.isAskedLong(), exchange.signal));
      const attachment = goesAside
        ? await this.#aside(exchange)
        : await unlessAborted(this.#wake(exchange), exchange.signal);
      return await this.#send(attachment, request, exchange);
    } catch (error) {
      return notStarted(name, error);
    }
  }

  /** A log level alone wakes no server: it is set when that has something to do. */
  #isForLater({ method, params }: RequestBody): boolean {
    if (method !== 'logging/setLevel' || !isLogLevel(params?.['level'])) return false;
    return this.#pool.describedAsleep(this.client)?.capabilities['logging'] !== undefined;
  }

  async #send(attachment: Attachment, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const isListening = this.client.era === 'modern' && admitsWarning(levelOf(request));
    attachment.open++;
    if (isListening) this.#listening.add(exchange);
    try {
      const answer = await dispatch(this.#pool, attachment, this.client, request, exchange);
      if (answer.kind === 'result') this.#note(request);
      return answer;
    } finally {
      if (isListening) this.#listening.delete(exchange);
      attachment.open--;
      if (attachment.open === 0 && this.#attachment !== attachment) this.#release(attachment);
    }
  }

  /** What the client believes to have set from now on. */
  #note(request: RequestBody): void {
    const { method, params } = request;
    if (method === 'logging/setLevel' && typeof params?.['level'] === 'string') this.#level = params['level'];
    const uri = params?.['uri'];
    if (typeof uri !== 'string') return;
    if (method === 'resources/subscribe' && this.#subscriptions.size < SUBSCRIPTIONS_MAX)
      this.#subscriptions.set(uri, request);
    if (method === 'resources/unsubscribe') this.#subscriptions.delete(uri);
  }

  /** One at a time: whatever comes meanwhile waits for the same. */
  #wake(exchange: Exchange): Promise<Attachment> {
    this.#waking ??= this.#attach(exchange).finally(() => (this.#waking = null));
    return this.#waking;
  }

  /** @throws GovernorError when its server cannot be started */
  async #attach(exchange: Exchange): Promise<Attachment> {
    const process = await this.#acquire(exchange);
    const attachment = this.#attachTo(process);
    this.#attachment = attachment;
    if (!process.alive) {
      // It died at once: the answer of the request says so.
      this.#attachment = null;
      return attachment;
    }
    process.attached.add(attachment);
    process.used();
    this.#restore(attachment);
    return attachment;
  }

  /** The one that its roots lead to; should they change while that is started, the one that they lead to then. */
  async #acquire(exchange: Exchange): Promise<ServerProcess> {
    for (let tries = 1; ; tries += 1) {
      const { changes } = this.#roots;
      const told = await this.#roots.key(this.#pool.current().definition.sharing, exchange);
      const roots = told === undefined ? this.#unknownRoots() : told;
      const process = await this.#pool.acquire({ client: this.client, roots });
      if (process.run.context !== null || changes === this.#roots.changes || tries === ACQUIRED_MOST) return process;
    }
  }

  /** For one read alone: a process of the client's own, as for one that cannot tell its roots. */
  async #aside({ signal }: Exchange): Promise<Attachment> {
    const process = await unlessAborted(
      this.#pool.acquire({ client: this.client, roots: this.#unknownRoots() }),
      signal,
    );
    const attachment = this.#attachTo(process);
    if (process.alive) process.attached.add(attachment);
    return attachment;
  }

  #attachTo(process: ServerProcess): Attachment {
    // Nobody would ever end what is begun for a client that has gone.
    if (this.#closed !== null) throw new Error('the session is closed');
    const attachment: Attachment = {
      process,
      session: process.upstream.attach(this.client),
      open: 0,
      detach: () => this.#detach(attachment),
      onPressure: (pressure) => this.#onPressure(process.run, pressure),
    };
    return attachment;
  }

  #unknownRoots(): string {
    return `unknown, of ${this.client.context}`;
  }

  #restore({ process, session }: Attachment): void {
    if ((process.rootsUnasked || this.#rootsUntold) && hasRoots(this.client)) {
      process.rootsUnasked = false;
      this.#rootsUntold = false;
      session.notify({ method: 'notifications/roots/list_changed' });
    }
    if (this.client.era !== 'legacy') return;
    const quietly = internalExchange(AbortSignal.timeout(RESTORE_TIMEOUT_MS));
    if (this.#level !== null)
      void session.request({ method: 'logging/setLevel', params: { level: this.#level } }, quietly);
    for (const request of this.#subscriptions.values()) void session.request(request, quietly);
  }

  /** The next request finds another one; what is open with this one goes on. */
  #leaveProcess(): void {
    const attachment = this.#attachment;
    if (attachment === null) return;
    this.#attachment = null;
    if (attachment.open === 0) this.#release(attachment);
  }

  #release(attachment: Attachment): void {
    attachment.process.attached.delete(attachment);
    void attachment.session.close('its client goes on with another process').then(() => attachment.process.used());
  }

  #detach(attachment: Attachment): void {
    // What is open is answered when the conversation ends, with the reason; closing would cancel it.
    if (this.#attachment === attachment) this.#attachment = null;
  }

  /** The clients of a server hear that it is under pressure, as a line of its log. */
  #onPressure(run: ServedRun, pressure: Pressure): void {
    const message = pressureMessage(run, pressure);
    if (this.client.era === 'modern') for (const exchange of this.#listening) exchange.notify(message);
    else if (this.process?.description.capabilities['logging'] !== undefined && admitsWarning(this.#level ?? 'info'))
      this.client.notify(message);
  }
}

function levelOf({ params }: RequestBody): unknown {
  const meta = params?.['_meta'];
  return typeof meta === 'object' && meta !== null ? (meta as Record<string, unknown>)[META.logLevel] : undefined;
}
