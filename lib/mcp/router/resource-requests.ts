/** Requests of a merged view that name a resource. */

import { ERA_CODE } from '../bridge/era-names.ts';
import type { Answer, Fields, RequestBody } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { refused } from '../wire/refused.ts';
import type { Exchange } from '../wire/session.ts';
import { failure, shortly, success } from '../wire/text.ts';
import type { Member } from './member.ts';
import { readQualifiedUri } from './qualified-uri.ts';
import { shownList } from './shown-entry.ts';
import type { View } from './view.ts';

interface Target {
  readonly member: Member;
  /** The server's own. */
  readonly uri: string;
}

/** Best first; several where only a template or a scheme tells. */
export async function targetsOf(view: View, uri: string): Promise<readonly Target[]> {
  const qualified = readQualifiedUri(uri);
  const named = qualified === null ? undefined : view.names.serverOf(qualified.part);
  if (qualified !== null && named !== undefined) return [{ member: view.member(named), uri: qualified.uri }];
  await view.indexed(view.members());
  const found = view.index.candidates(uri).map((name) => view.member(name));
  if (found.length > 0) return found.map((member) => ({ member, uri }));
  const able = view.members().filter(({ description }) => description?.capabilities['resources'] !== undefined);
  return able.length === 1 ? able.map((member) => ({ member, uri })) : [];
}

/** The server that owns it is asked; where that is a guess, the next one when the first has no such resource. */
export async function readResource(view: View, { method, params }: RequestBody, exchange: Exchange): Promise<Answer> {
  const uri = params?.['uri'];
  if (typeof uri !== 'string') return failure(RPC_CODE.invalidParams, '"uri" must be a string');
  const state = readState(params?.['requestState']);
  const targets = (await targetsOf(view, uri)).filter(({ member }) => state === null || member.part === state.part);
  return tryEach(view, uri, targets, async ({ member, uri: own }) => {
    const answer = await member.request(
      { method, params: { ...params, uri: own, ...(state === null ? {} : { requestState: state.state }) } },
      exchange,
      view.level,
    );
    if (answer.kind === 'error') return answer;
    return success(shownRead(view, member, answer.result, own, uri));
  });
}

/** `resources/subscribe` of 2025-11-25, for a client of either era. */
export async function subscribe(view: View, uri: string, send: (target: Target) => Promise<Answer>): Promise<Answer> {
  return tryEach(view, uri, await targetsOf(view, uri), async (target) => {
    const { member, uri: own } = target;
    if (member.subscribed.size >= SUBSCRIPTIONS_MAX)
      return refused(`${SUBSCRIPTIONS_MAX} resources of ${member.name} are subscribed to already`);
    const answer = await send(target);
    if (answer.kind === 'error') return answer;
    const shown = member.subscribed.get(own);
    if (shown === undefined) member.subscribed.set(own, new Set([uri]));
    else shown.add(uri);
    return answer;
  });
}

/** Goes to who has it: lists may have changed since. */
export async function unsubscribe(view: View, uri: string, send: (target: Target) => Promise<Answer>): Promise<Answer> {
  for (const member of view.opened()) {
    for (const [own, shown] of member.subscribed) {
      if (!shown.delete(uri)) continue;
      if (shown.size > 0) return success();
      member.subscribed.delete(own);
      return send({ member, uri: own });
    }
  }
  return success();
}

/** The URIs by which the client has subscribed to what the server names now. */
export function subscribedAs(view: View, member: Member, uri: string): readonly string[] {
  const shown = member.subscribed.get(uri);
  return shown === undefined ? [view.shownUri(member, uri)] : [...shown];
}

async function tryEach(
  view: View,
  uri: string,
  targets: readonly Target[],
  send: (target: Target) => Promise<Answer>,
): Promise<Answer> {
  let refusal: Answer | null = null;
  for (const target of targets) {
    const answer = await send(target);
    if (answer.kind === 'result' || !ELSEWHERE.has(answer.error.code)) return answer;
    refusal ??= answer;
  }
  return refusal ?? notFound(view, uri);
}

/** Of one client with one server. */
const SUBSCRIPTIONS_MAX = 1_000;

/** What servers say of a resource that they do not have; they do not agree. */
const ELSEWHERE: ReadonlySet<number> = new Set<number>([
  ERA_CODE.resourceNotFound,
  RPC_CODE.invalidParams,
  RPC_CODE.methodNotFound,
  RPC_CODE.internalError,
]);

function notFound(view: View, uri: string): Answer {
  const code = view.client.era === 'modern' ? RPC_CODE.invalidParams : ERA_CODE.resourceNotFound;
  return failure(code, `No server lists ${shortly(uri)}; governor:SERVER/URI asks one of them by its name`, { uri });
}

function shownRead(view: View, member: Member, result: Fields, own: string, uri: string): Fields {
  const { contents, requestState } = result;
  let shown = result;
  if (Array.isArray(contents)) {
    const list = shownList(contents, (one) => {
      const { uri: named } = one;
      if (typeof named !== 'string') return one;
      const told = named === own ? uri : view.shownUri(member, named);
      return told === named ? one : { ...one, uri: told };
    });
    if (list !== contents) shown = { ...shown, contents: list };
  }
  // Whose state it is has to be known when it comes back: the URI alone may be a guess.
  if (result['resultType'] === 'input_required' && typeof requestState === 'string')
    shown = { ...shown, requestState: `${member.part}:${requestState}` };
  return shown;
}

function readState(state: unknown): { readonly part: string; readonly state: string } | null {
  if (typeof state !== 'string') return null;
  const colon = state.indexOf(':');
  return { part: state.slice(0, Math.max(0, colon)), state: state.slice(colon + 1) };
}
