/**
 * What a tool and Governor say to each other over GOVERNOR_SOCKET: one JSON object a line, UTF-8. The tool speaks first
 * (`hello`); whoever does not is told of pressure as systemd defines it, and nothing else. Unknown types and unknown fields
 * are ignored, so that both sides can learn new ones. Described for tool authors in daemon/docs/client.md.
 */

import { maskLabel } from './mask.ts';

export const TOOL_PROTOCOL_VERSION = 1;
/** Of one line, both ways; whoever says more at once is not heard any more. */
export const MAX_PROTOCOL_LINE_CHARACTERS = 64 * 1024;
/** Of the handles that could not be closed so many are named. */
export const MAX_NAMED_HANDLES = 20;
const MAX_NAME_CHARACTERS = 100;
const MAX_REASON_CHARACTERS = 200;

export interface FailedHandle {
  readonly name: string;
  readonly reason: string;
}

/** How closing its handles went. */
export interface HandlesClosed {
  /** Registered when it began. */
  readonly held: number;
  readonly closed: number;
  /** Those that threw, or did not end in time; the first of them. */
  readonly failed: readonly FailedHandle[];
}

export type ToolMessage =
  | { readonly type: 'hello'; readonly version: number }
  /** How many handles it has registered by now. */
  | { readonly type: 'holds'; readonly handles: number }
  /** The answer to `cleanup` of the same id. */
  | ({ readonly type: 'cleaned'; readonly id: number } & HandlesClosed);

export type DaemonMessage =
  | { readonly type: 'welcome'; readonly version: number }
  | { readonly type: 'pressure'; readonly notice: PressureNotice }
  /** Close what you registered, and say so within this time; `keepShared`: but what is not of one context alone. */
  | {
      readonly type: 'cleanup';
      readonly id: number;
      readonly reason: string;
      readonly deadlineMs: number;
      readonly keepShared?: true;
    };

/** A resource has reached a stage. Usage and limit in the unit of the resource. */
export interface PressureNotice {
  readonly resource: string;
  readonly stage: string;
  readonly usage: number;
  readonly limit: number;
  readonly ratio: number;
  /** Of a limit that it shares with others, and so are the numbers; absent: its own. */
  readonly shared?: 'context' | 'host';
}

/** Null for what is no message, or of a type that is not known here. What it names is made fit to be shown. */
export function parseToolMessage(line: string): ToolMessage | null {
  const fields = parseObject(line);
  switch (fields?.['type']) {
    case 'hello':
      return isCount(fields['version']) && fields['version'] > 0 ? { type: 'hello', version: fields['version'] } : null;
    case 'holds':
      return isCount(fields['handles']) ? { type: 'holds', handles: fields['handles'] } : null;
    case 'cleaned': {
      const { id, held, closed, failed } = fields;
      if (!isCount(id) || !isCount(held) || !isCount(closed) || !Array.isArray(failed)) return null;
      return { type: 'cleaned', id, held, closed, failed: failed.slice(0, MAX_NAMED_HANDLES).flatMap(failedHandle) };
    }
    default:
      return null;
  }
}

/** The same, of what the daemon says. */
export function parseDaemonMessage(line: string): DaemonMessage | null {
  const fields = parseObject(line);
  switch (fields?.['type']) {
    case 'welcome':
      return isCount(fields['version']) ? { type: 'welcome', version: fields['version'] } : null;
    case 'pressure': {
      const notice = parseNotice(fields['notice']);
      return notice === null ? null : { type: 'pressure', notice };
    }
    case 'cleanup': {
      const { id, reason, deadlineMs } = fields;
      if (!isCount(id) || typeof reason !== 'string' || !isAmount(deadlineMs)) return null;
      const keep = fields['keepShared'] === true ? { keepShared: true as const } : {};
      return { type: 'cleanup', id, reason, deadlineMs, ...keep };
    }
    default:
      return null;
  }
}

export function parseNotice(value: unknown): PressureNotice | null {
  if (typeof value !== 'object' || value === null) return null;
  const { resource, stage, usage, limit, ratio, shared } = value as Readonly<Record<string, unknown>>;
  if (typeof resource !== 'string' || typeof stage !== 'string') return null;
  if (!isAmount(usage) || !isAmount(limit) || !isAmount(ratio)) return null;
  const whose = shared === 'context' || shared === 'host' ? { shared } : {};
  return { resource, stage, usage, limit, ratio, ...whose } as PressureNotice;
}

export function parseObject(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

/** `3 handles: 2 closed, 1 not: db (ECONNRESET)`. */
export function describeHandles({ held, closed, failed }: HandlesClosed): string {
  const named = failed.map(({ name, reason }) => `${name} (${reason})`).join(', ');
  const left = held - closed;
  const not = left > 0 ? `, ${left} not${named === '' ? '' : `: ${named}`}` : '';
  return `${held} handle${held === 1 ? '' : 's'}: ${closed} closed${not}`;
}

function failedHandle(value: unknown): FailedHandle[] {
  const { name, reason } = (value ?? {}) as { readonly name?: unknown; readonly reason?: unknown };
  if (typeof name !== 'string' || typeof reason !== 'string') return [];
  return [{ name: shown(name, MAX_NAME_CHARACTERS), reason: shown(reason, MAX_REASON_CHARACTERS) }];
}

/** It goes into the audit log and onto terminals. */
function shown(text: string, maxCharacters: number): string {
  return maskLabel(text, maxCharacters);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
