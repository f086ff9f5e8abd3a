/** What a server says of itself, in the words of the other era. Pure. */

import type { Fields } from '../wire/message.ts';
import { LEGACY_VERSIONS, MODERN_VERSIONS } from '../wire/protocol.ts';
import type { ServerDescription } from '../wire/session.ts';
import { fieldsOf, without } from '../wire/shape.ts';
import { SERVER_INFO, TASKS_EXTENSION } from './era-names.ts';

/**
 * The result of `initialize` as one of `server/discover`. Fields that neither era knows are kept. `tasks` of 2025-11-25 goes: it is no
 * capability of the modern era, and not its extension of the same name.
 */
export function asModern(server: ServerDescription): ServerDescription {
  const capabilities = without(server.capabilities, ['tasks']);
  const { _meta: meta, ...kept } = without(server.raw, ['protocolVersion', 'serverInfo']);
  return {
    ...server,
    era: 'modern',
    protocolVersion: MODERN_VERSIONS[0],
    capabilities,
    raw: {
      ...kept,
      resultType: 'complete',
      supportedVersions: [...MODERN_VERSIONS],
      capabilities,
      // A legacy server gives no hint for how long that holds.
      ttlMs: 0,
      cacheScope: 'private',
      _meta: { ...fieldsOf(meta), [SERVER_INFO]: server.info },
    },
  };
}

const MODERN_ONLY = ['resultType', 'supportedVersions', 'ttlMs', 'cacheScope'];

/** The result of `server/discover` as one of `initialize`, of the newest legacy revision. */
export function asLegacy(server: ServerDescription): ServerDescription {
  const capabilities = withoutExtension(server.capabilities, TASKS_EXTENSION);
  const { _meta: meta, ...kept } = without(server.raw, MODERN_ONLY);
  const rest = without(fieldsOf(meta), [SERVER_INFO]);
  return {
    ...server,
    era: 'legacy',
    protocolVersion: LEGACY_VERSIONS[0],
    capabilities,
    raw: {
      ...kept,
      protocolVersion: LEGACY_VERSIONS[0],
      capabilities,
      serverInfo: server.info,
      ...(Object.keys(rest).length === 0 ? {} : { _meta: rest }),
    },
  };
}

/** What a client says it can do, for a modern server: `tasks` and `roots.listChanged` are of the other era. */
export function clientAsModern(capabilities: Fields): Fields {
  const rest = withoutExtension(without(capabilities, ['tasks']), TASKS_EXTENSION);
  if (rest['roots'] === undefined) return rest;
  return { ...rest, roots: without(fieldsOf(rest['roots']), ['listChanged']) };
}

function withoutExtension(capabilities: Fields, name: string): Fields {
  const extensions = fieldsOf(capabilities['extensions']);
  if (!Object.hasOwn(extensions, name)) return capabilities;
  const rest = without(extensions, [name]);
  return Object.keys(rest).length === 0 ? without(capabilities, ['extensions']) : { ...capabilities, extensions: rest };
}
