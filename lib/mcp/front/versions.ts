/** Versions as headers name them. */

import { LEGACY_VERSIONS, MODERN_VERSIONS } from '../wire/protocol.ts';

export function isModernVersion(header: string | string[] | undefined): boolean {
  return (MODERN_VERSIONS as readonly unknown[]).includes(header);
}

export function isLegacyVersion(header: string | string[] | undefined): boolean {
  return (LEGACY_VERSIONS as readonly unknown[]).includes(header);
}
