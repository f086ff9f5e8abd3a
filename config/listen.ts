/** Addresses to listen on. */

import { ok } from '../lib/core/result.ts';
import { quote } from './notation.ts';
import type { Parsed } from './units.ts';

export interface ListenAddress {
  /** IPv6 without brackets. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

const HINT = 'write HOST:PORT such as 127.0.0.1:7717 or [::1]:7717';

/** `127.0.0.1:7717`, `localhost:7717`, `[::1]:7717`. */
export function parseListen(raw: unknown): Parsed<ListenAddress> {
  if (raw === null || raw === undefined) return refuse('has no value');
  if (typeof raw === 'number') return refuse(`${raw} has no host`, `write 127.0.0.1:${raw}`);
  if (typeof raw !== 'string') return refuse('must be an address');
  const match = raw.length > 300 ? null : /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})$/.exec(raw);
  if (match === null) {
    if (/^:?[0-9]{1,5}$/.test(raw))
      return refuse(`${quote(raw)} has no host`, `write 127.0.0.1:${raw.replace(':', '')}`);
    return refuse(`${quote(raw)} is not an address`);
  }
  const port = Number(match[3]);
  if (port > 65_535) return refuse(`${quote(raw)} has no such port`, 'ports go up to 65535');
  const bracketed = match[1];
  if (bracketed !== undefined && !bracketed.includes(':')) return refuse(`${quote(raw)} is not an address`);
  const host = bracketed ?? match[2] ?? '';
  if (/^[0-9.]+$/.test(host) && !isIpv4(host)) return refuse(`${quote(raw)} is not an address`);
  return ok({ host, port });
}

/** True for addresses that only this machine can reach: 127.0.0.0/8, ::1, localhost. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  if (isIpv4(host)) return host.startsWith('127.');
  return /^(0{0,4}:){2,7}0{0,3}1$/.test(host) || /^::ffff:127\.[0-9.]+$/i.test(host);
}

/** As it is written in a URL or in limits.yaml. */
export function formatListen(address: ListenAddress): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function isIpv4(host: string): boolean {
  const parts = host.split('.');
  return parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255);
}

function refuse(message: string, hint: string = HINT): Parsed<never> {
  return { ok: false, error: { message, hint } };
}
