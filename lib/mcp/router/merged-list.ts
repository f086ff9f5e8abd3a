/** One page of a merged list: the pages of its servers in the order of the file, up to the first that has more. */

import { SERVER_INFO } from '../bridge/era-names.ts';
import { admits, isLogLevel } from '../bridge/levels.ts';
import type { Answer, Fields, NotificationBody } from '../wire/message.ts';
import { META, RPC_CODE } from '../wire/protocol.ts';
import type { Exchange } from '../wire/session.ts';
import { metaOf, without } from '../wire/shape.ts';
import { failure, success } from '../wire/text.ts';
import { reasonOf } from '../bridge/answers.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import type { ListKind } from './lists.ts';
import type { Member, Part } from './member.ts';
import { mergeHints } from './merge.ts';
import { cursorOf, entriesOf } from '../bridge/pages.ts';
import { shownEntry } from './shown-entry.ts';
import type { View } from './view.ts';

/** Key of `_meta`: `[{tool, reason}]`, servers whose part of the list is not in it. */
export const UNAVAILABLE = 'governor/unavailable';

interface Missing {
  readonly tool: string;
  readonly reason: string;
}

export async function mergedList(
  view: View,
  kind: ListKind,
  params: Fields | undefined,
  exchange: Exchange,
): Promise<Answer> {
  const given = params?.['cursor'];
  const position = given === undefined || given === null ? null : decodeCursor(kind.method, given);
  const all = kind.isOfTasks === true ? view.members().filter(({ isUsed }) => isUsed) : view.members();
  const first = position === null ? 0 : all.findIndex(({ name }) => name === position.server);
  if ((position === null && typeof given === 'string') || first === -1 || (given !== undefined && position === null))
    return failure(RPC_CODE.invalidParams, 'The cursor is not one of this list, or no longer; begin without one');
  const members = all.slice(first);
  const [parts] = await Promise.all([
    Promise.all(
      members.map((member, index) => {
        const cursor = index === 0 ? (position?.cursor ?? null) : null;
        return fetchPart(view, kind, member, pageParams(params, cursor), exchange.signal, cursor === null);
      }),
    ),
    kind.changed === 'resources' ? view.indexed(all) : null,
  ]);
  return success(assemble(view, kind, members, parts, params, exchange));
}

function assemble(
  view: View,
  kind: ListKind,
  members: readonly Member[],
  parts: readonly Part[],
  params: Fields | undefined,
  exchange: Exchange,
): Fields {
  const entries: Fields[] = [];
  const results: Fields[] = [];
  const missing: Missing[] = [];
  let nextCursor: string | null = null;
  for (const [index, member] of members.entries()) {
    const part = parts[index];
    if (part?.kind === 'failed') missing.push({ tool: member.name, reason: part.reason });
    if (part?.kind !== 'page') continue;
    results.push(part.result);
    for (const entry of entriesOf(part.result, kind.field)) entries.push(shownEntry(view, kind, member, entry));
    const cursor = cursorOf(part.result);
    if (cursor === null) continue;
    nextCursor = encodeCursor(kind.method, { server: member.name, cursor });
    break;
  }
  if (missing.length > 0) tell(view, kind, missing, params, exchange);
  const meta: Fields = {
    ...Object.assign({}, ...results.toReversed().map(metaOf)),
    ...(view.client.era === 'modern' ? { [SERVER_INFO]: view.info } : {}),
    ...(missing.length > 0 ? { [UNAVAILABLE]: missing } : {}),
  };
  return {
    [kind.field]: entries,
    ...(nextCursor === null ? {} : { nextCursor }),
    ...(view.client.era === 'modern' ? { resultType: 'complete', ...mergeHints(results, missing.length === 0) } : {}),
    ...(Object.keys(meta).length === 0 ? {} : { _meta: meta }),
  };
}

/** A progress token would be that of several requests at once. */
function pageParams(params: Fields | undefined, cursor: string | null): Fields {
  const rest = without(params ?? {}, ['cursor']);
  const meta = metaOf(rest) ?? {};
  return {
    ...rest,
    ...(Object.keys(meta).length === 0 ? {} : { _meta: without(meta, ['progressToken']) }),
    ...(cursor === null ? {} : { cursor }),
  };
}

/** Never rejects. What comes too late is announced as a change of the list. */
async function fetchPart(
  view: View,
  kind: ListKind,
  member: Member,
  params: Fields,
  requestSignal: AbortSignal,
  isFirstPage: boolean,
): Promise<Part> {
  // One of its own for each server: Node warns when a signal has more than a few listeners.
  const signal = AbortSignal.any([requestSignal]);
  const { listTimeoutMs, lateListTimeoutMs } = view.settings;
  const wanted = new AbortController();
  const stop = (): void => wanted.abort(signal.reason);
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const asked = isFirstPage ? member.late.get(kind.method) : undefined;
  const work =
    asked ??
    ask(kind, member, params, {
      signal: AbortSignal.any([wanted.signal, view.signal, AbortSignal.timeout(lateListTimeoutMs)]),
      notify: () => undefined,
      ask: () => Promise.resolve(failure(RPC_CODE.methodNotFound, 'Nothing can be asked while a list is read')),
    });
  const part = await view.inTime(member, work, listTimeoutMs, signal);
  signal.removeEventListener('abort', stop);
  if (part !== undefined) return part;
  if (signal.aborted) return { kind: 'failed', reason: 'the request was cancelled' };
  if (asked === undefined && isFirstPage) {
    member.late.set(kind.method, work);
    void work.then((late) => {
      member.late.delete(kind.method);
      if (late.kind === 'page' && kind.changed !== null) view.changed(kind.changed);
    });
  }
  return { kind: 'failed', reason: 'it has not answered in time' };
}

async function ask(kind: ListKind, member: Member, params: Fields, exchange: Exchange): Promise<Part> {
  try {
    const { capabilities } = await member.describe(exchange.signal);
    if (capabilities[kind.capability] === undefined) return { kind: 'none' };
    const answer = await member.session.request({ method: kind.method, params }, exchange);
    if (answer.kind === 'result') return { kind: 'page', result: answer.result };
    // Declared or not: templates of servers that have none.
    if (answer.error.code === RPC_CODE.methodNotFound) return { kind: 'none' };
    return { kind: 'failed', reason: answer.error.message };
  } catch (error) {
    return { kind: 'failed', reason: reasonOf(error) };
  }
}

function tell(
  view: View,
  kind: ListKind,
  missing: readonly Missing[],
  params: Fields | undefined,
  exchange: Exchange,
): void {
  const asked = view.client.era === 'modern' ? metaOf(params)?.[META.logLevel] : (view.level ?? 'info');
  if (!isLogLevel(asked) || !admits(asked, 'warning')) return;
  for (const { tool, reason } of missing) {
    const data = { tool, list: kind.field, message: `${tool} is not in this list: ${reason}` };
    const line: NotificationBody = {
      method: 'notifications/message',
      params: { level: 'warning', logger: 'governor', data },
    };
    exchange.notify(line);
  }
}
