/** Reading JSON that others wrote. Pure. */

import type { Fields } from '../wire/message.ts';

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `{}` where it is no object. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}

export function metaOf(params: Fields | undefined): Fields {
  return fieldsOf(params?.['_meta']);
}

/** A copy without these fields; the same object where it has none of them. */
export function without(fields: Fields, names: readonly string[]): Fields {
  if (!names.some((name) => Object.hasOwn(fields, name))) return fields;
  const rest: Record<string, unknown> = { ...fields };
  for (const name of names) delete rest[name];
  return rest;
}

/** For messages: as JSON, and not longer than a person reads. */
export function shortly(value: unknown): string {
  const text = JSON.stringify(value) ?? 'without a name';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
