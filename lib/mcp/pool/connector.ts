/** How a started process becomes a conversation: what the pool tells the handshake, and what it gets back. */

import type { Connection, ConnectPort } from '../../supervisor/ports.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { Era } from '../wire/protocol.ts';
import type { Identity } from './identity.ts';

type ConnectParameters = Parameters<ConnectPort['connect']>;

/** What is known of a server from the time before, so that it is not found out again at each start. */
export interface ServerMemory {
  readonly era: Era | null;
  /** Requests of different clients must not overlap: what the server asks could not be told apart. */
  readonly takesTurns: boolean;
}

export interface ConnectRequest extends ServerMemory {
  readonly process: ConnectParameters[0];
  readonly options: ConnectParameters[1];
  readonly identity: Identity;
}

export interface ServedConnection extends Connection {
  readonly upstream: Upstream;
  /** Whom the server believes to speak with. */
  readonly identity: Identity;
}

/** @throws GovernorError launch_failed with the reason */
export type Connector = (request: ConnectRequest) => Promise<ServedConnection>;

export function isServed(connection: Connection): connection is ServedConnection {
  return 'upstream' in connection;
}
