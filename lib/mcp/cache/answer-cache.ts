/**
 * What servers have answered to reads and lists, kept for as long as it may be: in memory, and what all callers may have
 * in a second level too. One request at a time for each key; whatever is not certain is asked of the server.
 */

import type { ResourceCache } from '../../client/resource-cache.ts';
import type { EntryId, Loaded } from '../../client/cache-types.ts';
import type { Selector } from '../../client/cache-selector.ts';
import { cancelled, thrown } from '../bridge/answers.ts';
import type { CallRecord } from '../calls/account.ts';
import type { StaleListener } from '../pool/tool-pool.ts';
import type { Stale } from '../upstream/upstream.ts';
import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import type { Era } from '../wire/protocol.ts';
import type { Exchange } from '../wire/session.ts';
import type { ServedTools } from '../../supervisor/served.ts';
import { cacheable, isOwnOf, ownKey, sharedKey } from './cacheable.ts';
import type { CachedSession } from './cached-session.ts';
import { canLive, lifeOf, livesByNotice, mayBePublic } from './life.ts';
import type { Grounds, Life } from './life.ts';
import { keepOf, shownResult } from './plan.ts';
import type { Plan } from './plan.ts';
import { ToolStates } from './tool-states.ts';
import type { ToolState } from './tool-states.ts';
import { BoundedMap } from '../../core/bounded-map.ts';

export interface AnswerCacheOptions {
  readonly entries: ResourceCache<Fields>;
  readonly tools: Pick<ServedTools, 'find' | 'has'>;
  /** Where something is to be kept, and nobody says for how long. Null: nothing is kept at all. */
  readonly defaultTtlMs: number | null;
  monotonicMs(): number;
  /** A request of a client was answered without its server. */
  onServed(record: CallRecord): void;
  onAsked(tool: string): void;
  onJoined(tool: string): void;
}

/** The server's answer was none that anybody else could have. */
class Refused extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super('the server refused');
    this.answer = answer;
  }
}

/** What is remembered of so many resources. Of what is forgotten, the server is asked once more. */
const REMEMBERED_MAX = 1_000;

export class AnswerCache implements StaleListener {
  readonly #options: AnswerCacheOptions;
  readonly #tools: ToolStates;
  readonly #sessions = new Map<string, Set<CachedSession>>();
  /** By tool, questions of its servers that clients have not answered yet. */
  readonly #questions = new Map<string, number>();
  /** By shared key, what the last answer was good for where that was less than it might be: one caller, or nobody. */
  readonly #lesser = new BoundedMap<string, 'own' | 'none'>(REMEMBERED_MAX);
  /** Of results that were just given to whoever asked. */
  readonly #lives = new WeakMap<Fields, Life>();

  #defaultTtlMs: number | null;

  constructor(options: AnswerCacheOptions) {
    this.#options = options;
    this.#tools = new ToolStates(options.tools, (tool, former) => {
      this.#dropFrom(former, { group: tool });
      for (const session of this.#sessions.get(tool) ?? []) session.releaseAll();
    });
    this.#defaultTtlMs = options.defaultTtlMs;
  }

  /** As of the option; what was kept for the former time, or at all, goes. */
  setDefaultTtl(ttlMs: number | null): void {
    if (ttlMs === this.#defaultTtlMs) return;
    this.#defaultTtlMs = ttlMs;
    // What others have kept in common is still theirs.
    if (ttlMs === null) void this.#options.entries.invalidate({ all: true }, { firstLevelOnly: true });
    else
      for (const [tool, state] of this.#tools.known()) {
        const sessions = [...(this.#sessions.get(tool) ?? [])];
        const usesIt = state.rules.usesDefaultTtl || sessions.some((session) => session.hasSubscriptions);
        if (usesIt) this.#dropFrom(state, { group: tool });
      }
  }

  /** A context was ended: who has its name from now on need not be who had it. */
  endContext(context: string): void {
    this.#options.entries.invalidateWhere((id) => isOwnOf(context, id.key));
  }

  /** What its server answers may be for somebody else from now on. */
  forget(tool: string): void {
    const state = this.#tools.of(tool);
    if (state !== null) this.#dropFrom(state, { group: tool });
  }

  enter(session: CachedSession): void {
    const known = this.#sessions.get(session.tool) ?? new Set();
    this.#sessions.set(session.tool, known.add(session));
  }

  leave(session: CachedSession): void {
    const known = this.#sessions.get(session.tool);
    known?.delete(session);
    if (known?.size === 0) this.#sessions.delete(session.tool);
  }

  /** Never rejects. */
  async answer(session: CachedSession, request: RequestBody, exchange: Exchange): Promise<Answer> {
    const plan = this.#plan(session, request);
    if (plan === null) return session.inner.request(request, exchange);
    const beganMs = this.#options.monotonicMs();
    const kept = this.#options.entries.find(plan.own);
    if (kept !== null) return this.#served(plan, kept, beganMs);
    const lesser = mayBePublic(plan.grounds) ? this.#lesser.get(plan.shared.key) : 'own';
    // Not kept, as far as is known. Should that have changed, it is from the next time on.
    if (lesser === 'none') return this.#ask(plan, request, exchange, exchange.signal);
    for (const id of lesser === undefined ? [plan.shared, plan.own] : [plan.own]) {
      const answer = await this.#load(plan, id, request, exchange, beganMs);
      if (answer !== null) return answer;
      // Whom it waited for got what only that one could have.
    }
    return this.#ask(plan, request, exchange, exchange.signal);
  }

  onStale(tool: string, era: Era, what: Stale): void {
    if (what.kind === 'resource') this.#drop(tool, era, { uri: what.uri, group: tool, above: true });
    // What is gone from the list, or new in it, may read otherwise too.
    else if (what.list === 'resources') this.#drop(tool, era, { group: tool });
    else this.#drop(tool, era, { uri: `${what.list}/list`, group: tool });
  }

  onCatalogueChanged(tool: string, era: Era): void {
    this.#drop(tool, era, { group: tool });
  }

  /** What that client reads while it answers must not wait for a read that waits for its answer, be it through others. */
  onQuestion(tool: string, context: string): void {
    this.#questions.set(tool, (this.#questions.get(tool) ?? 0) + 1);
    this.#options.entries.setApart({ group: tool }, context);
  }

  onQuestionOver(tool: string): void {
    const open = (this.#questions.get(tool) ?? 0) - 1;
    if (open > 0) this.#questions.set(tool, open);
    else this.#questions.delete(tool);
  }

  onProcessEnding(tool: string): void {
    for (const session of this.#sessions.get(tool) ?? []) session.releaseAll();
  }

  dropOwn(key: string): void {
    void this.#options.entries.invalidate({ key }, { firstLevelOnly: true });
  }

  /** @param tool that came, went or is defined anew; null: any may be */
  refresh(tool: string | null): void {
    this.#tools.refresh(tool);
  }

  /** @param era of the server that has changed */
  #drop(tool: string, era: Era, selector: Selector): void {
    const state = this.#tools.of(tool);
    if (state === null) return;
    state.isShared ||= era === 'modern';
    this.#dropFrom(state, selector);
  }

  #dropFrom({ isShared, rules }: ToolState, selector: Selector): void {
    void this.#options.entries.invalidate(selector, { firstLevelOnly: !isShared && !rules.hasPublic });
  }

  #plan(session: CachedSession, asked: RequestBody): Plan | null {
    const { tool, client } = session;
    const defaultTtlMs = this.#defaultTtlMs;
    const request = defaultTtlMs === null ? null : cacheable(asked);
    const state = request === null ? null : this.#tools.of(tool);
    if (defaultTtlMs === null || request === null || state === null || state.rules.isOff) return null;
    const { rules } = state;
    state.isShared ||= client.era === 'modern';
    const grounds: Grounds = {
      era: client.era,
      pattern: request.isRead ? rules.match(request.uri) : null,
      toolTtlMs: rules.ttlMs,
      defaultTtlMs,
      isSubscribed: request.isRead && session.isSubscribed(request.uri),
    };
    if (!canLive(grounds)) return null;
    const caller = { server: rules.identity, client, distinction: session.distinction };
    const id = { uri: request.uri, group: tool };
    const own = { ...id, key: ownKey(request, caller) };
    if (livesByNotice(grounds)) session.hold(request.uri, own.key);
    return { session, request, grounds, own, shared: { ...id, key: sharedKey(request, caller) } };
  }

  /** Null: it is to be asked for itself. */
  async #load(
    plan: Plan,
    id: EntryId,
    request: RequestBody,
    exchange: Exchange,
    beganMs: number,
  ): Promise<Answer | null> {
    const { tool } = plan.session;
    const isShared = id === plan.shared;
    let isMine = false;
    try {
      const loaded = await this.#options.entries.loadEntry(
        id,
        async (signal) => {
          isMine = true;
          const answer = await this.#ask(plan, request, exchange, signal);
          if (answer.kind === 'error') throw new Refused(answer);
          return answer.result;
        },
        {
          signal: exchange.signal,
          party: plan.session.client.context,
          isAlone: () => this.#questions.has(tool),
          firstLevelOnly: !isShared,
          pattern: plan.grounds.pattern,
          keep: (result) => keepOf(plan, isShared, this.#lives.get(result)),
        },
      );
      if (isMine) return { kind: 'result', result: shownResult(plan, loaded) };
      if (loaded.from !== 'loader') return this.#served(plan, loaded, beganMs);
      const life = this.#lives.get(loaded.value);
      if (life === undefined || (isShared && life.scope !== 'public')) return null;
      this.#options.onJoined(tool);
      return this.#served(plan, loaded, beganMs);
    } catch (error) {
      if (error instanceof Refused) return isMine ? error.answer : null;
      return exchange.signal.aborted ? cancelled(exchange.signal) : thrown(error);
    }
  }

  async #ask(plan: Plan, request: RequestBody, exchange: Exchange, signal: AbortSignal): Promise<Answer> {
    const { session, grounds, shared } = plan;
    this.#options.onAsked(session.tool);
    const answer = await session.inner.request(request, {
      signal,
      notify: (notification) => exchange.notify(notification),
      ask: (question, ended) => exchange.ask(question, ended),
    });
    if (answer.kind === 'error') return answer;
    // A list of a server that sleeps is one that was kept elsewhere.
    if (!plan.request.isRead && session.inner.process === null) return answer;
    const life = lifeOf(grounds, answer.result);
    if (life !== null) this.#lives.set(answer.result, life);
    if (!mayBePublic(grounds) || life?.scope === 'public') this.#lesser.delete(shared.key);
    else this.#lesser.set(shared.key, life === null ? 'none' : 'own');
    return answer;
  }

  #served(plan: Plan, loaded: Loaded<Fields>, beganMs: number): Answer {
    const { session, request } = plan;
    if (request.isRead)
      this.#options.onServed({
        tool: session.tool,
        context: session.client.context,
        run: null,
        method: request.method,
        name: request.uri,
        outcome: 'ok',
        durationMs: this.#options.monotonicMs() - beganMs,
        cpuTimeMs: 0,
        isShared: false,
      });
    return { kind: 'result', result: shownResult(plan, loaded) };
  }
}
