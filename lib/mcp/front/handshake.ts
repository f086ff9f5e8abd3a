/** What a client is told of the server behind: the results of `initialize` and `server/discover`. */

import type { Fields } from '../wire/message.ts';
import { LEGACY_VERSIONS, MODERN_VERSIONS } from '../wire/protocol.ts';
import type { ServerDescription } from '../wire/session.ts';
import { isFields } from '../wire/shape.ts';

/** Where the modern era has the name of a server: a key of `_meta`. */
const SERVER_INFO = 'io.modelcontextprotocol/serverInfo';

/**
 * The version that is asked for, when it is known here; else the newest. Never a newer one than the server behind speaks: the client
 * would expect what does not come. Versions are dates, so they compare as text.
 */
export function negotiate(requested: unknown, description: ServerDescription): string {
  const known = (LEGACY_VERSIONS as readonly unknown[]).includes(requested);
  const ours = known ? String(requested) : LEGACY_VERSIONS[0];
  return description.era === 'legacy' && description.protocolVersion < ours ? description.protocolVersion : ours;
}

export function initializeResult(description: ServerDescription, protocolVersion: string): Fields {
  const { capabilities, info, instructions } = description;
  return {
    ...(description.era === 'legacy' ? description.raw : {}),
    protocolVersion,
    capabilities,
    serverInfo: info,
    ...(instructions === undefined ? {} : { instructions }),
  };
}

export function discoverResult(description: ServerDescription): Fields {
  const { capabilities, info, instructions, raw } = description;
  const whole = description.era === 'modern' ? raw : {};
  const meta = isFields(whole['_meta']) ? whole['_meta'] : {};
  return {
    // A client may not keep what may change with the file or with the server, unless the server says that it may.
    ttlMs: 0,
    cacheScope: 'private',
    ...whole,
    resultType: 'complete',
    supportedVersions: MODERN_VERSIONS,
    capabilities,
    ...(instructions === undefined ? {} : { instructions }),
    _meta: { [SERVER_INFO]: info, ...meta },
  };
}
