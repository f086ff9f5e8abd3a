/** Who a server is told it speaks with, and the keys that follow from that. */

import { createHash } from 'node:crypto';
import type { ToolDefinition } from '../../supervisor/governor.ts';
import type { Fields } from '../wire/message.ts';
import type { Client } from '../wire/session.ts';

/** `clientInfo` and `capabilities` of a handshake. */
export interface Identity {
  readonly info: Fields;
  readonly capabilities: Fields;
}

export function identityOf({ info, capabilities }: Client): Identity {
  return { info, capabilities };
}

/** JSON with sorted keys: equal for equal values, however they were written. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** What a server offers may depend on what its client can do. */
export function fingerprint({ capabilities }: Identity): string {
  return digest(capabilities);
}

/** Two definitions with the same one start the same server: different secrets never share. */
export function serverHash({ command, args, env, cwd, remote }: ToolDefinition): string {
  return digest([command, args, env, cwd, remote ?? null]);
}

export interface KeyParts {
  /** `serverHash`. */
  readonly server: string;
  readonly sharing: ToolDefinition['sharing'];
  /** Of the client, in a form that can be compared; null where it has none. */
  readonly roots: string | null;
  readonly context: string;
}

/** Requests with the same key go to the same process. `call` has none: each request has its own. */
export function processKey({ server, sharing, roots, context }: KeyParts): string {
  return canonical([server, roots, sharing === 'shared' ? null : context]);
}

export function digest(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, 32);
}
