/**
 * How a conversation begins. A server of unknown era is asked `server/discover` first (2026-07-28, basic/versioning): a result or the error
 * that names versions is modern; any other answer, or silence for a while, is legacy, and `initialize` follows.
 */

import { GovernorError } from '../../core/errors.ts';
import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { LEGACY_VERSIONS, META, MODERN_VERSIONS, RPC_CODE } from '../wire/protocol.ts';
import type { Era } from '../wire/protocol.ts';
import type { ServerDescription } from '../wire/session.ts';
import { isFields, metaOf } from '../wire/shape.ts';

/** A legacy server may say nothing at all before `initialize`. Only the first start of a definition waits for that. */
const DISCOVER_PATIENCE_MS = 2_000;
/** Older ones that are still to be met; a date is a version. */
const VERSION = /^\d{4}-\d{2}-\d{2}$/;
const OLDEST = '2024-10-07';

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
  const timeOut = AbortSignal.timeout(options.timeoutMs);
  if (options.era !== 'legacy') {
    const isSure = options.era === 'modern';
    const patience = isSure ? timeOut : AbortSignal.any([timeOut, AbortSignal.timeout(DISCOVER_PATIENCE_MS)]);
    const found = await discover(options, patience);
    if (found.kind === 'modern') return found.description;
    if (found.kind === 'refused') throw failed(found.reason);
    if (isSure) throw failed(timeOut.aborted ? timedOut(options) : found.reason);
  }
  return initialize(options, timeOut);
}

type Discovery =
  | { readonly kind: 'modern'; readonly description: ServerDescription }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'legacy'; readonly reason: string };

async function discover(options: HandshakeOptions, signal: AbortSignal): Promise<Discovery> {
  const version = MODERN_VERSIONS[0];
  const answer = await options.ask(
    { method: 'server/discover', params: { _meta: requestMeta(version, options) } },
    signal,
  );
  if (answer.kind === 'error') {
    const { code, message, data } = answer.error;
    const supported = isFields(data) ? data['supported'] : undefined;
    if (code !== RPC_CODE.unsupportedVersion || !Array.isArray(supported)) return { kind: 'legacy', reason: message };
    // A server of both eras names legacy versions too.
    const isLegacyToo = supported.some((each) => (LEGACY_VERSIONS as readonly unknown[]).includes(each));
    const reason = `it speaks ${supported.join(', ')}, and Governor ${[...MODERN_VERSIONS, ...LEGACY_VERSIONS].join(', ')}`;
    return { kind: isLegacyToo ? 'legacy' : 'refused', reason };
  }
  const raw = answer.result;
  if (!Array.isArray(raw['supportedVersions'])) return { kind: 'legacy', reason: 'its discovery names no versions' };
  if (!raw['supportedVersions'].includes(version)) {
    const known = raw['supportedVersions'].some((each) => (LEGACY_VERSIONS as readonly unknown[]).includes(each));
    return { kind: known ? 'legacy' : 'refused', reason: `it speaks ${raw['supportedVersions'].join(', ')}` };
  }
  options.onVersion(version);
  return {
    kind: 'modern',
    description: describe('modern', version, metaOf(raw)?.[META.serverInfo] ?? raw['serverInfo'], raw),
  };
}

async function initialize(options: HandshakeOptions, signal: AbortSignal): Promise<ServerDescription> {
  const { info, capabilities } = options;
  const params = { protocolVersion: LEGACY_VERSIONS[0], capabilities, clientInfo: info };
  const answer = await options.ask({ method: 'initialize', params }, signal);
  if (answer.kind === 'error') throw failed(signal.aborted ? timedOut(options) : answer.error.message);
  const version = answer.result['protocolVersion'];
  if (typeof version !== 'string') throw failed('its answer to initialize names no protocol version');
  if (!VERSION.test(version) || version < OLDEST || version >= MODERN_VERSIONS[0])
    throw failed(`it speaks ${version}, and Governor ${LEGACY_VERSIONS.join(', ')}`);
  options.onVersion(version);
  options.notify('notifications/initialized');
  return describe('legacy', version, answer.result['serverInfo'], answer.result);
}

function describe(era: Era, protocolVersion: string, info: unknown, raw: Fields): ServerDescription {
  const { capabilities, instructions } = raw;
  if (!isFields(capabilities)) throw failed('it tells no capabilities');
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

function timedOut({ timeoutMs }: HandshakeOptions): string {
  return `it timed out after ${timeoutMs} ms`;
}

function failed(reason: string): GovernorError {
  return new GovernorError('launch_failed', `the MCP handshake failed: ${reason}`);
}
