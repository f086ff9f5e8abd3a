/** What names something, in the names of a merged view. What came is never changed: others may hold it too. */

import type { Fields } from '../wire/message.ts';
import { isFields, metaOf } from '../wire/shape.ts';
import type { ListKind } from './lists.ts';
import type { Member } from './member.ts';
import type { View } from './view.ts';

/** Key of `_meta` (2025-11-25): `{taskId}`. */
export const RELATED_TASK = 'io.modelcontextprotocol/related-task';

/** An entry of a list. */
export function shownEntry(view: View, kind: ListKind, member: Member, entry: Fields): Fields {
  const { name, uri, uriTemplate, taskId } = entry;
  switch (kind.method) {
    case 'tools/list':
      return typeof name === 'string' ? { ...entry, name: shownTool(view, member, name) } : entry;
    case 'prompts/list':
      return typeof name === 'string' ? { ...entry, name: view.names.join(member.name, name) } : entry;
    case 'resources/list':
      return typeof uri === 'string' ? withUri(entry, view.index.shownUri(member.name, member.part, uri)) : entry;
    case 'resources/templates/list':
      return typeof uriTemplate === 'string'
        ? { ...entry, uriTemplate: view.index.shownTemplate(member.name, member.part, uriTemplate) }
        : entry;
    default:
      return typeof taskId === 'string' ? { ...entry, taskId: view.names.join(member.name, taskId) } : entry;
  }
}

function shownTool(view: View, member: Member, name: string): string {
  const shown = view.names.joinTool(member.name, name);
  const rest = shown.slice(member.part.length + view.names.separator.length);
  if (rest !== name) member.madeUp.set(rest, name);
  return shown;
}

/** A result of a call, a prompt or a task. */
export function shownResult(view: View, member: Member, result: Fields): Fields {
  const { content, messages, task, taskId } = result;
  let shown = result;
  if (Array.isArray(content))
    shown = replaced(
      shown,
      'content',
      content,
      shownList(content, (one) => block(view, member, one)),
    );
  if (Array.isArray(messages))
    shown = replaced(
      shown,
      'messages',
      messages,
      shownList(messages, (one) => message(view, member, one)),
    );
  if (isFields(task)) shown = { ...shown, task: withTaskId(view, member, task) };
  if (taskId !== undefined) shown = withTaskId(view, member, shown);
  if (isFields(result['result'])) shown = { ...shown, result: shownResult(view, member, result['result']) };
  return withShownMeta(view, member, shown);
}

/** Parameters of a request or a notification of the server's. */
export function shownParams(view: View, member: Member, params: Fields): Fields {
  const named = params['taskId'] === undefined ? params : withTaskId(view, member, params);
  return withShownMeta(view, member, named);
}

function withShownMeta(view: View, member: Member, fields: Fields): Fields {
  const meta = metaOf(fields);
  const related = meta?.[RELATED_TASK];
  if (!isFields(related)) return fields;
  return { ...fields, _meta: { ...meta, [RELATED_TASK]: withTaskId(view, member, related) } };
}

function withTaskId(view: View, member: Member, fields: Fields): Fields {
  const { taskId } = fields;
  return typeof taskId === 'string' ? { ...fields, taskId: view.names.join(member.name, taskId) } : fields;
}

function message(view: View, member: Member, one: Fields): Fields {
  const { content } = one;
  if (!isFields(content)) return one;
  const shown = block(view, member, content);
  return shown === content ? one : { ...one, content: shown };
}

/** Links are followed later: who named them is remembered. */
function block(view: View, member: Member, one: Fields): Fields {
  const { type, uri, resource } = one;
  if (type === 'resource_link' && typeof uri === 'string') return withUri(one, view.shownUri(member, uri));
  if (type !== 'resource' || !isFields(resource) || typeof resource['uri'] !== 'string') return one;
  const shown = withUri(resource, view.shownUri(member, resource['uri']));
  return shown === resource ? one : { ...one, resource: shown };
}

function withUri(fields: Fields, uri: string): Fields {
  return fields['uri'] === uri ? fields : { ...fields, uri };
}

/** The same array where nothing changes. */
export function shownList(list: readonly unknown[], change: (one: Fields) => Fields): readonly unknown[] {
  let shown: unknown[] | null = null;
  for (const [index, one] of list.entries()) {
    if (!isFields(one)) continue;
    const changed = change(one);
    if (changed !== one) (shown ??= [...list])[index] = changed;
  }
  return shown ?? list;
}

function replaced(fields: Fields, name: string, before: readonly unknown[], after: readonly unknown[]): Fields {
  return after === before ? fields : { ...fields, [name]: after };
}
