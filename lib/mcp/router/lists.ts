/** The lists that a merged view has. */

import type { List } from '../bridge/pages.ts';

export interface ListKind extends List {
  /** Of the server: without it there is nothing to ask for. */
  readonly capability: string;
  /** `notifications/…/list_changed`; null: there is none. */
  readonly changed: ChangedList | null;
  /** Of 2025-11-25. What is listed is this client's own: servers that it has not used have none, and are not woken. */
  readonly isOfTasks?: true;
}

export type ChangedList = 'tools' | 'prompts' | 'resources';
export const CHANGED_LISTS: readonly ChangedList[] = ['tools', 'prompts', 'resources'];

const KINDS: readonly ListKind[] = [
  { method: 'tools/list', field: 'tools', capability: 'tools', changed: 'tools' },
  { method: 'prompts/list', field: 'prompts', capability: 'prompts', changed: 'prompts' },
  { method: 'resources/list', field: 'resources', capability: 'resources', changed: 'resources' },
  { method: 'resources/templates/list', field: 'resourceTemplates', capability: 'resources', changed: 'resources' },
  { method: 'tasks/list', field: 'tasks', capability: 'tasks', changed: null, isOfTasks: true },
];

export const LISTS: ReadonlyMap<string, ListKind> = new Map(KINDS.map((kind) => [kind.method, kind]));

export function changedBy(method: string): ChangedList | undefined {
  return CHANGED_LISTS.find((list) => method === `notifications/${list}/list_changed`);
}
