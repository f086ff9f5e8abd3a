/** What Governor offers to a tool that runs under it: news of pressure, and an ordered end for what it has open. */

import { GovernorError } from '../core/errors.ts';
import { STAGES } from '../core/ladder.ts';
import type { Stage } from '../core/ladder.ts';
import { isResource, RESOURCES } from '../core/resource.ts';
import type { Resource } from '../core/resource.ts';
import type { DaemonMessage, HandlesClosed, PressureNotice } from '../core/tool-protocol.ts';
import { checkedMs } from './cleanup-interval.ts';
import { GovernorLink } from './governor-link.ts';
import { Handles } from './handles.ts';
import type { CloseHandle, HandleEntry } from './handles.ts';
import { Listeners } from './listeners.ts';
import { offerOf } from './offer.ts';
import type { Offer } from './offer.ts';

/** Numbers in the unit of the resource; null where only the fact is told (by another service manager than Governor). */
export interface PressureEvent {
  readonly resource: Resource;
  readonly stage: Stage;
  readonly usage: number | null;
  readonly limit: number | null;
  readonly ratio: number | null;
  /** The limit is that of its context, or of all tools together, and the numbers are of all who share it; absent: its own. */
  readonly shared?: 'context' | 'host';
}

export interface PressureSubscription extends Disposable {
  /** False: nothing will ever be told here, for this reason. */
  readonly supported: boolean;
  readonly reason: string | null;
  /** Idempotent. */
  dispose(): void;
}

export interface HandleRegistration {
  /** False: no Governor will ask for it to be closed, for this reason; `closeHandles()` still closes it. */
  readonly supported: boolean;
  readonly reason: string | null;
  /** It was closed elsewhere. False when it is registered no more. */
  unregister(): boolean;
}

export interface HandleOptions {
  /** Closed before all that are not. */
  readonly critical?: boolean;
  /** Not of the present context alone: it stays open when only that changes, and is closed at the end. */
  readonly shared?: boolean;
}

type CleanupRequest = Extract<DaemonMessage, { type: 'cleanup' }>;
type PressureEvents = { readonly [R in Resource]: PressureEvent };

/** Handles that come and go are told at most so often. */
const TELL_EVERY_MS = 50;
const DEFAULT_DEADLINE_MS = 5_000;
/** Of the daemon's deadline, so that the answer is there before it. */
const ANSWER_SHARE = 0.8;

export class GovernorClient {
  readonly #offer: Offer;
  readonly #link: GovernorLink | null;
  readonly #listeners: Listeners<PressureEvents>;
  readonly #handles: Handles;
  #cleaning = false;
  #told: { readonly handles: number; readonly atMs: number } | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: { readonly environment?: Readonly<Record<string, string | undefined>> } = {}) {
    this.#offer = offerOf(options.environment ?? process.env);
    let warned = false;
    this.#listeners = new Listeners((error) => {
      if (!warned) process.emitWarning(`a listener for pressure failed: ${String(error)}`, 'PressureWarning');
      warned = true;
    });
    this.#handles = new Handles(() => this.#handlesChanged());
    this.#link =
      this.#offer.kind === 'none'
        ? null
        : new GovernorLink(this.#offer, {
            onPressure: (notice) => this.#tell(notice),
            onConnected: () => {
              this.#told = null;
              this.#tellHandles();
            },
            onCleanup: (request) => void this.#cleanUp(request),
          });
  }

  /**
   * Told when a resource of this tool reaches a stage, once a stage. Several may listen; one that fails harms nobody. It
   * keeps no process alive, and comes back by itself when the daemon was started again.
   * @throws GovernorError invalid_request for an unknown resource
   */
  onPressure(resource: Resource, listener: (event: PressureEvent) => unknown): PressureSubscription {
    if (!isResource(resource))
      throw new GovernorError('invalid_request', `a resource is one of ${RESOURCES.join(', ')}`);
    const reason = this.#whyNoPressure(resource);
    if (reason !== null) return { supported: false, reason, dispose: nothing, [Symbol.dispose]: nothing };
    const off = this.#listeners.add(resource, listener);
    this.#link?.open();
    return { supported: true, reason: null, dispose: off, [Symbol.dispose]: off };
  }

  /**
   * When Governor begins to clean up this tool it is closed: critical ones first, then the others, each kind in reverse
   * order of registration, each within its share of the time.
   * @throws GovernorError invalid_request for a name that is empty
   */
  registerHandle(name: string, close: CloseHandle, options: HandleOptions = {}): HandleRegistration {
    if (typeof name !== 'string' || name === '' || typeof close !== 'function')
      throw new GovernorError('invalid_request', 'a handle has a name and a function that closes it');
    const entry: HandleEntry = { name, close, critical: options.critical ?? false, shared: options.shared ?? false };
    const reason = this.#offer.kind === 'governor' ? null : whyNoHandles(this.#offer);
    if (reason === null) this.#link?.open();
    this.#handles.add(entry);
    return { supported: reason === null, reason, unregister: () => this.#handles.remove(entry) };
  }

  /** Closes all handles now, in the same order, for an end that Governor did not ask for. Never rejects. */
  async closeHandles(options: { readonly reason?: string; readonly deadlineMs?: number } = {}): Promise<HandlesClosed> {
    const deadlineMs = checkedMs('deadlineMs', options.deadlineMs ?? DEFAULT_DEADLINE_MS, 0);
    return this.#handles.closeAll(options.reason ?? 'requested', deadlineMs);
  }

  /** Hears and tells nothing any more; what is registered stays open. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#link?.close();
  }

  #whyNoPressure(resource: Resource): string | null {
    if (this.#offer.kind === 'none') return this.#offer.reason;
    if (this.#offer.kind === 'watch' && resource !== 'memory')
      return 'only pressure on memory is told here: GOVERNOR_SOCKET is not set';
    return null;
  }

  #tell(notice: PressureNotice | null): void {
    if (notice === null) {
      const event = { resource: 'memory', stage: 'warning', usage: null, limit: null, ratio: null } as const;
      return this.#listeners.tell('memory', () => event);
    }
    const { resource, stage } = notice;
    // Of a newer daemon.
    if (!isResource(resource) || !isStage(stage)) return undefined;
    return this.#listeners.tell(resource, () => ({ ...notice, resource, stage }));
  }

  async #cleanUp({ id, reason, deadlineMs, keepShared }: CleanupRequest): Promise<void> {
    this.#link?.hold();
    this.#cleaning = true;
    const closed = await this.#handles.closeAll(reason, deadlineMs * ANSWER_SHARE, keepShared === true);
    this.#cleaning = false;
    this.#link?.say({ type: 'cleaned', id, ...closed });
    this.#tellHandles();
    this.#link?.letGo();
  }

  #handlesChanged(): void {
    if (this.#offer.kind !== 'governor' || this.#timer !== null || this.#cleaning) return;
    const sinceMs = performance.now() - (this.#told?.atMs ?? -Infinity);
    if (sinceMs >= TELL_EVERY_MS) return this.#tellHandles();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#tellHandles();
    }, TELL_EVERY_MS - sinceMs);
    this.#timer.unref();
  }

  #tellHandles(): void {
    const handles = this.#handles.size;
    if (handles === (this.#told?.handles ?? 0)) return;
    if (this.#link?.say({ type: 'holds', handles }) === true) this.#told = { handles, atMs: performance.now() };
  }
}

function whyNoHandles(offer: Exclude<Offer, { kind: 'governor' }>): string {
  return offer.kind === 'none' ? offer.reason : 'handles are not asked for here: GOVERNOR_SOCKET is not set';
}

function isStage(value: string): value is Stage {
  return (STAGES as readonly string[]).includes(value);
}

function nothing(): void {
  // Nobody listens, so there is nothing to end.
}

let own: GovernorClient | null = null;

function client(): GovernorClient {
  own ??= new GovernorClient();
  return own;
}

/** `GovernorClient.onPressure` for the environment of this process. */
export function onPressure(resource: Resource, listener: (event: PressureEvent) => unknown): PressureSubscription {
  return client().onPressure(resource, listener);
}

/** `GovernorClient.registerHandle` for the environment of this process. */
export function registerHandle(name: string, close: CloseHandle, options: HandleOptions = {}): HandleRegistration {
  return client().registerHandle(name, close, options);
}

/** `GovernorClient.closeHandles` of what `registerHandle` has registered. */
export function closeHandles(options: Parameters<GovernorClient['closeHandles']>[0] = {}): Promise<HandlesClosed> {
  return client().closeHandles(options);
}
