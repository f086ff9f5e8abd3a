/**
 * What is wrong with the `x-mcp-header` of a tool's input schema: a client of Streamable HTTP has to leave such a tool out
 * (2026-07-28, basic/transports/streamable-http). Pure.
 */

import { isFields } from './shape.ts';
import { shortly } from './text.ts';

/** RFC 9110, 5.1: another name is none that a header may have. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** `number` is not among them: two of them may be written alike. */
const TYPES: ReadonlySet<unknown> = new Set(['string', 'integer', 'boolean']);
/** Keywords of JSON Schema with one schema or several below them, none of which is an argument's own. */
const HOLDERS = [
  'items',
  'prefixItems',
  'contains',
  'additionalProperties',
  'additionalItems',
  'unevaluatedProperties',
  'unevaluatedItems',
  'propertyNames',
  'oneOf',
  'anyOf',
  'allOf',
  'not',
  'if',
  'then',
  'else',
] as const;
/** And those that have them by name. */
const MAPS = ['patternProperties', 'dependentSchemas', '$defs', 'definitions'] as const;

interface Place {
  readonly schema: Readonly<Record<string, unknown>>;
  readonly name: string;
  readonly parent: Place | null;
  /** By `properties` alone. */
  readonly isReachable: boolean;
}

/** @returns the first fault, in words; null: none */
export function paramFault(inputSchema: unknown): string | null {
  if (!isFields(inputSchema)) return null;
  const names = new Map<string, string>();
  // A stack of our own: V8 reads deeper nesting than calls can follow.
  const places: Place[] = [{ schema: inputSchema, name: '', parent: null, isReachable: true }];
  for (let place = places.pop(); place !== undefined; place = places.pop()) {
    const fault = Object.hasOwn(place.schema, 'x-mcp-header') ? faultAt(place, names) : null;
    if (fault !== null) return fault;
    for (const each of below(place).toReversed()) places.push(each);
  }
  return null;
}

function faultAt(place: Place, names: Map<string, string>): string | null {
  const where = pathOf(place);
  const header = place.schema['x-mcp-header'];
  if (place.parent === null || !place.isReachable)
    return `${where} has one, which only arguments reached by "properties" alone may have`;
  if (typeof header !== 'string' || !TOKEN.test(header)) return `${where} has ${shortly(header)}, no name of a header`;
  if (!TYPES.has(place.schema['type'])) return `${where} is neither of type string nor integer nor boolean`;
  const other = names.get(header.toLowerCase());
  if (other !== undefined) return `${other} and ${where} have the same one, ${shortly(header)}`;
  names.set(header.toLowerCase(), where);
  return null;
}

function pathOf(place: Place): string {
  const names: string[] = [];
  for (let at = place; at.parent !== null; at = at.parent) names.push(at.name);
  return names.length === 0 ? 'the schema itself' : shortly(names.toReversed().join('.'));
}

function below(parent: Place): readonly Place[] {
  const { schema } = parent;
  const found: Place[] = [];
  const add = (each: unknown, name: string, isReachable: boolean): void => {
    if (isFields(each)) found.push({ schema: each, name, parent, isReachable });
  };
  const addAll = (each: unknown, isReachable: boolean): void => {
    if (isFields(each)) for (const [name, one] of Object.entries(each)) add(one, name, isReachable);
  };
  addAll(schema['properties'], parent.isReachable);
  for (const keyword of MAPS) addAll(schema[keyword], false);
  for (const keyword of HOLDERS) {
    const held = schema[keyword];
    if (Array.isArray(held)) for (const each of held as readonly unknown[]) add(each, keyword, false);
    else add(held, keyword, false);
  }
  return found;
}
