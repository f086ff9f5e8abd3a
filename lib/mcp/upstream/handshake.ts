/**
 * How a conversation begins. A server of unknown era is asked `server/discover` first (2026-07-28, basic/versioning): a result or the error
 * that names versions is modern; any other answer is legacy, and `initialize` follows. After silence for a while it follows too, and what
 * is answered first decides: a modern server may only be slow to start.
 */

import { GovernorError } from '../../core/errors.ts';
import { maskShort } from '../../core/mask.ts';
import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { LEGACY_VERSIONS, META, MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import type { Era } from '../wire/protocol.ts';
import type { ServerDescription } from '../wire/session.ts';
import { isFields, metaOf } from '../wire/shape.ts';

/** A legacy server may say nothing at all before `initialize`. Only starts of a definition whose era is not known wait for that. */
const DISCOVER_PATIENCE_MS = 2_000;
/** Older ones that are still to be met; a date is a version. */
const VERSION = /^\d{4}-\d{2}-\d{2}$/;
const OLDEST = '2024-10-07';
/** What a server of the modern era alone says to `initialize`. */
const REFUSES_INITIALIZE: ReadonlySet<number> = new Set([RPC_CODE.unsupportedVersion, RPC_CODE.methodNotFound]);
const NO_CAPABILITIES = 'it tells no capabilities';

export interface HandshakeOptions {
  /** Null: not known. */
  readonly era: Era | null;
  readonly info: Fields;
  readonly capabilities: Fields;
  readonly timeoutMs: number;
  ask(request: RequestBody, signal: AbortSignal): Promise<Answer>;
  notify(method: string): void;
  /** The version is settled; what is sent from now on may have to name it. */
  onVersion(version: string): void;
}

/** @throws GovernorError launch_failed with the reason */
export async function shakeHands(options: HandshakeOptions): Promise<ServerDescription> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), options.timeoutMs);
  try {
    return await begin(options, over.signal);
  } finally {
    clearTimeout(timer);
    // What was asked and not answered is not waited for.
    over.abort();
  }
}

async function begin(options: HandshakeOptions, signal: AbortSignal): Promise<ServerDescription> {
  if (options.era === 'legacy') {
    const asked = await askInitialize(options, signal);
    // A newer version of it may speak the modern era alone.
    const isModern = asked.kind === 'error' && REFUSES_INITIALIZE.has(asked.error.code);
    if (!isModern) return initialized(options, asked, signal);
  }
  const discovery = discover(options, signal);
  const found = options.era === null ? await Promise.race([discovery, silence(signal)]) : await discovery;
  if (found.kind === 'modern') return settled(options, found.description);
  if (found.kind === 'refused') throw failed(found.reason);
  if (signal.aborted) throw failed(timedOut(options));
  if (found.kind === 'gone') throw gone(options, found.reason);
  const initialize = askInitialize(options, signal);
  if (found.kind === 'silent') {
    const late = await Promise.race([discovery, initialize]);
    if (late.kind === 'modern') return settled(options, late.description);
    if (late.kind === 'gone') throw gone(options, late.reason);
    // A modern server refuses the one and is about to answer the other.
    if (late.kind === 'error' && REFUSES_INITIALIZE.has(late.error.code)) {
      const last = await discovery;
      if (last.kind === 'modern') return settled(options, last.description);
    }
  }
  return initialized(options, await initialize, signal);
}

function silence(signal: AbortSignal): Promise<{ readonly kind: 'silent' }> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ kind: 'silent' }), DISCOVER_PATIENCE_MS);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  });
}

type Discovery =
  | { readonly kind: 'modern'; readonly description: ServerDescription }
  | { readonly kind: 'refused'; readonly reason: string }
  /** The conversation was over before the answer: some legacy servers exit. */
  | { readonly kind: 'gone'; readonly reason: string }
  | { readonly kind: 'legacy' };

async function discover(options: HandshakeOptions, signal: AbortSignal): Promise<Discovery> {
  const version = MODERN_VERSIONS[0];
  const answer = await options.ask(
    { method: 'server/discover', params: { _meta: requestMeta(version, options) } },
    signal,
  );
  if (answer.kind === 'error') {
    const { code, message, data } = answer.error;
    const supported = isFields(data) ? data['supported'] : undefined;
    if (code === RPC_CODE.stopped) return { kind: 'gone', reason: message };
    return code === RPC_CODE.unsupportedVersion && Array.isArray(supported) ? other(supported) : { kind: 'legacy' };
  }
  const raw = answer.result;
  const supported = raw['supportedVersions'];
  if (!Array.isArray(supported)) return { kind: 'legacy' };
  if (!supported.includes(version)) return other(supported);
  if (!isFields(raw['capabilities'])) return { kind: 'refused', reason: NO_CAPABILITIES };
  const info = metaOf(raw)?.[META.serverInfo] ?? raw['serverInfo'];
  return { kind: 'modern', description: describe('modern', version, info, raw) };
}

/** Not ours of the modern era; a server of both eras names legacy versions too. */
function other(supported: readonly unknown[]): Discovery {
  if (supported.some((each) => (LEGACY_VERSIONS as readonly unknown[]).includes(each))) return { kind: 'legacy' };
  const ours = [...MODERN_VERSIONS, ...LEGACY_VERSIONS].join(', ');
  return { kind: 'refused', reason: `it speaks ${supported.join(', ') || 'no version'}, and Governor ${ours}` };
}

function settled(options: HandshakeOptions, description: ServerDescription): ServerDescription {
  options.onVersion(description.protocolVersion);
  return description;
}

function askInitialize({ info, capabilities, ask }: HandshakeOptions, signal: AbortSignal): Promise<Answer> {
  const params = { protocolVersion: LEGACY_VERSIONS[0], capabilities, clientInfo: info };
  return ask({ method: 'initialize', params }, signal);
}

function initialized(options: HandshakeOptions, answer: Answer, signal: AbortSignal): ServerDescription {
  if (answer.kind === 'error') throw failed(signal.aborted ? timedOut(options) : maskShort(answer.error.message));
  const version = answer.result['protocolVersion'];
  if (typeof version !== 'string') throw failed('its answer to initialize names no protocol version');
  if (!VERSION.test(version) || version < OLDEST || version >= MODERN_VERSIONS[0])
    throw failed(`it speaks ${version}, and Governor ${LEGACY_VERSIONS.join(', ')}`);
  const description = describe('legacy', version, answer.result['serverInfo'], answer.result);
  options.onVersion(version);
  options.notify('notifications/initialized');
  return description;
}

function describe(era: Era, protocolVersion: string, info: unknown, raw: Fields): ServerDescription {
  const { capabilities, instructions } = raw;
  if (!isFields(capabilities)) throw failed(NO_CAPABILITIES);
  return {
    era,
    protocolVersion,
    info: isFields(info) ? info : {},
    capabilities,
    ...(typeof instructions === 'string' ? { instructions } : {}),
    raw,
  };
}

/** What each request of the modern era carries. */
export function requestMeta(
  version: string,
  { info, capabilities }: Pick<HandshakeOptions, 'info' | 'capabilities'>,
): Fields {
  return { [META.protocolVersion]: version, [META.clientInfo]: info, [META.clientCapabilities]: capabilities };
}

/** `data.probe` says that another start may succeed without the question that nobody has answered. */
function gone({ era }: HandshakeOptions, reason: string): GovernorError {
  return failed(reason, era === null ? { probe: 'server/discover' } : {});
}

function timedOut({ timeoutMs }: HandshakeOptions): string {
  return `it timed out after ${timeoutMs} ms`;
}

function failed(reason: string, data: Fields = {}): GovernorError {
  return new GovernorError('launch_failed', `the MCP handshake failed: ${reason}`, { data });
}
