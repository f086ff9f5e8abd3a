/** What the modern era puts on each request, taken off and put on. Pure. */

import type { Fields } from '../wire/message.ts';
import { META, MODERN_VERSIONS } from '../wire/protocol.ts';
import type { Client } from '../wire/session.ts';
import { isFields, metaOf, without } from '../wire/shape.ts';
import { clientAsModern } from './describe.ts';

const HOP_KEYS = [META.protocolVersion, META.clientInfo, META.clientCapabilities, META.logLevel];
const ROUND_KEYS = ['inputResponses', 'requestState'];

/** Parameters for a legacy server. A server of both eras takes the modern keys for a request of the modern era. */
export function legacyParams(params: Fields | undefined): Fields | undefined {
  if (params === undefined) return undefined;
  const rest = without(params, ROUND_KEYS);
  const meta = rest['_meta'];
  if (!isFields(meta)) return rest;
  const kept = without(meta, HOP_KEYS);
  if (kept === meta) return rest;
  return Object.keys(kept).length === 0 ? without(rest, ['_meta']) : { ...rest, _meta: kept };
}

/** The same for every request of a legacy client. */
export function modernMeta({ info, capabilities }: Pick<Client, 'info' | 'capabilities'>): Fields {
  return {
    [META.protocolVersion]: MODERN_VERSIONS[0],
    [META.clientInfo]: info,
    [META.clientCapabilities]: clientAsModern(capabilities),
  };
}

/** @param level what the client has set with logging/setLevel; null: nothing */
export function modernParams(params: Fields | undefined, meta: Fields, level: string | null): Fields {
  return { ...params, _meta: { ...metaOf(params), ...meta, ...(level === null ? {} : { [META.logLevel]: level }) } };
}
