/**
 * The keyed hash chain of the audit log: how a line is sealed and how a line proves itself. No files here.
 *
 * A line is one JSON object without line breaks. Its last member is `mac`, lower-case hex of
 * HMAC-SHA256(key, prev + "\n" + every byte of the line before `,"mac"`), RFC 2104 with SHA-256. `prev` is the mac of
 * the line before it. The mac is over bytes, not over a re-serialised form, so that any changed byte shows. Since every
 * line carries its own `seq` and `prev`, each one can be proven by itself and then placed.
 */

import { createHmac } from 'node:crypto';
import type { AuditRecord } from '../core/audit-record.ts';

/** `prev` of the very first line. */
export const GENESIS_MAC = '0'.repeat(64);

/** Longest line that is written or read, in bytes, without its line break. */
export const MAX_LINE_BYTES = 1024 * 1024;

/** Entries that the log writes about itself. */
export type LogRecord =
  /** The oldest files were removed. `lastMac` is the mac of line `toSeq`, so that the kept chain has a proven start. */
  | {
      readonly kind: 'retention';
      readonly files: readonly string[];
      readonly toSeq: number;
      readonly lastMac: string;
    }
  /** Entries that could not be kept until the disk took them again. `intents` of them announced an irreversible act. */
  | {
      readonly kind: 'lost';
      readonly count: number;
      readonly intents: number;
      readonly firstAt: string;
      readonly lastAt: string;
      readonly reason: string;
    };

export type ChainRecord = AuditRecord | LogRecord;
export type ChainKind = ChainRecord['kind'];

/** What the log adds to a record. */
export interface Envelope {
  /** 1, 2, 3, … without a gap, over all files and daemons. */
  readonly seq: number;
  /** Wall time, ISO 8601 with milliseconds. */
  readonly at: string;
  /** Monotonic milliseconds since boot `bootId`. */
  readonly monotonicMs: number;
  readonly bootId: string;
  /** Instance id of the daemon that wrote it. */
  readonly daemon: string;
  /** mac of the line before. */
  readonly prev: string;
  readonly mac: string;
}

export type AuditEntry = Envelope & ChainRecord;

/** The place of one line in the chain. */
export interface Head {
  readonly seq: number;
  readonly mac: string;
}

export const GENESIS: Head = { seq: 0, mac: GENESIS_MAC };

/** A line as it is before it has its place: JSON members without the braces. */
export interface UnsealedLine {
  readonly envelope: string;
  readonly record: string;
}

/** The line that follows `tip`, without a line break, and the new tip. */
export function sealLine(key: Buffer, tip: Head, line: UnsealedLine): { readonly text: string; readonly head: Head } {
  const seq = tip.seq + 1;
  const body = `{"seq":${seq},${line.envelope},"prev":"${tip.mac}",${line.record}`;
  const mac = createHmac('sha256', key).update(tip.mac).update('\n').update(body).digest('hex');
  return { text: `${body},"mac":"${mac}"}`, head: { seq, mac } };
}

export type OpenedLine =
  | { readonly ok: true; readonly entry: AuditEntry }
  /** `changed`: has the form of an entry, but its mac is not the key's. `malformed`: has not even the form. */
  | { readonly ok: false; readonly kind: 'changed' | 'malformed'; readonly reason: string };

const MAC_BYTES = Buffer.byteLength(`,"mac":"${GENESIS_MAC}"}`);
const MAC_MEMBER = /^,"mac":"([0-9a-f]{64})"\}$/;
const HEX_MAC = /^[0-9a-f]{64}$/;

/** Proves one line, without its line break, against the key; says nothing about its place. */
export function openLine(key: Buffer, line: Buffer): OpenedLine {
  const entry = parseLine(line);
  if (entry === null) return { ok: false, kind: 'malformed', reason: 'not an entry of the audit log' };
  const signed = line.subarray(0, line.length - MAC_BYTES);
  const mac = createHmac('sha256', key).update(entry.prev).update('\n').update(signed).digest('hex');
  if (mac === entry.mac) return { ok: true, entry };
  return { ok: false, kind: 'changed', reason: 'its mac does not fit: changed, or made without the key' };
}

/** Reads one line without proving it; null when it has not the form of an entry. */
export function parseLine(line: Buffer): AuditEntry | null {
  const member = MAC_MEMBER.exec(line.subarray(Math.max(0, line.length - MAC_BYTES)).toString('latin1'));
  if (member === null) return null;
  const value = parseJson(line.toString('utf8'));
  if (typeof value !== 'object' || value === null) return null;
  const { seq, prev, mac, at, kind } = value as Readonly<Record<string, unknown>>;
  const formed =
    Number.isSafeInteger(seq) &&
    (seq as number) > 0 &&
    typeof prev === 'string' &&
    HEX_MAC.test(prev) &&
    mac === member[1] &&
    typeof at === 'string' &&
    typeof kind === 'string';
  return formed ? (value as AuditEntry) : null;
}

/** The text of the head file: the head with a mac of its own. */
export function sealHead(key: Buffer, head: Head): string {
  return `${JSON.stringify({ seq: head.seq, mac: head.mac, seal: headSeal(key, head) })}\n`;
}

/** null when the text was not sealed with this key. */
export function openHead(key: Buffer, text: string): Head | null {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null) return null;
  const { seq, mac, seal } = value as Readonly<Record<string, unknown>>;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || typeof mac !== 'string') return null;
  return seal === headSeal(key, { seq, mac }) ? { seq, mac } : null;
}

function headSeal(key: Buffer, head: Head): string {
  return createHmac('sha256', key).update(`head\n${head.seq}\n${head.mac}`).digest('hex');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
