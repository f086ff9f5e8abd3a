/**
 * Arguments of a tool that its server wants mirrored in headers: `x-mcp-header` in the tool's input schema (2026-07-28,
 * basic/transports/streamable-http). Pure.
 */

import { isFields } from './shape.ts';

export interface ParamDeclaration {
  /** In small letters, as Node has header names. */
  readonly header: string;
  /** Property names that lead to the argument. */
  readonly path: readonly string[];
}

const MAX_DEPTH = 16;
const NONE: readonly ParamDeclaration[] = [];

/** By tool: those of one page of `tools/list`, none where a tool declares nothing. */
export function paramDeclarations(tools: unknown): ReadonlyMap<string, readonly ParamDeclaration[]> {
  const all = new Map<string, readonly ParamDeclaration[]>();
  if (!Array.isArray(tools)) return all;
  for (const tool of tools as readonly unknown[]) {
    if (!isFields(tool) || typeof tool['name'] !== 'string') continue;
    const found: ParamDeclaration[] = [];
    collect(tool['inputSchema'], [], found);
    all.set(tool['name'], found.length === 0 ? NONE : found);
  }
  return all;
}

/** Undefined where the body has no such argument. */
export function argumentAt(args: unknown, path: readonly string[]): unknown {
  let value = args;
  for (const key of path) value = isFields(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return value;
}

/** What a header says of it, before it is encoded. Null: it has none, since it is no single value, or one that may be read as another. */
export function mirrorText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  // Beyond that two numbers may be written alike.
  if (typeof value !== 'number' || (Number.isInteger(value) && !Number.isSafeInteger(value))) return null;
  return Number.isFinite(value) ? String(value) : null;
}

/** Only what is reached through `properties` alone counts. */
function collect(schema: unknown, path: readonly string[], into: ParamDeclaration[]): void {
  if (!isFields(schema) || path.length > MAX_DEPTH) return;
  const header = schema['x-mcp-header'];
  if (typeof header === 'string' && path.length > 0) into.push({ header: `mcp-param-${header.toLowerCase()}`, path });
  const properties = schema['properties'];
  if (!isFields(properties)) return;
  for (const [name, property] of Object.entries(properties)) collect(property, [...path, name], into);
}
