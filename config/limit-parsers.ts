/** How the limit of each resource is written, and from what amount on it can be held to. */

import type { Resource } from '../lib/core/resource.ts';
import { MAX_SIZE_BYTES, parseCount, parseDuration, parsePercent, parseSize } from './units.ts';
import type { Parser } from './units.ts';

/** To the unit of the resource. Below these a limit could not be held to or no program could start. */
export const LIMIT_PARSERS: Readonly<Record<Resource, Parser<number>>> = {
  memory: (raw) => parseSize(raw, { min: 1024 ** 2, max: MAX_SIZE_BYTES }),
  cpu: (raw) => parsePercent(raw),
  file_handles: (raw) => parseCount(raw),
  sockets: (raw) => parseCount(raw),
  runtime: (raw) => parseDuration(raw),
  temp_storage: (raw) => parseSize(raw, { min: 4096, max: MAX_SIZE_BYTES }),
  tasks: (raw) => parseCount(raw),
};
