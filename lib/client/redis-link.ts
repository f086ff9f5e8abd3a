/** One connection to Redis, for commands and for what is published. @redis/client is only loaded here, at the first use. */

import type { createClient as CreateClient } from '@redis/client';
import { GovernorError } from '../core/errors.ts';

type Client = ReturnType<typeof CreateClient>;

export interface RedisLink {
  readonly client: Client;
  /** At once; idempotent. */
  close(): void;
}

const CONNECT_TIMEOUT_MS = 2_000;
/** Commands that wait for a Redis that does not answer; each has a deadline of its own. */
const QUEUE_MAX = 10_000;

/**
 * It is not tried again when it fails or is lost: who needs it asks for another. Keeps no process alive.
 * @param onLost told once, when a connection that was there is no more
 * @throws GovernorError unsupported where @redis/client is not installed
 */
export async function connectRedis(
  url: string,
  channel: string,
  onMessage: (message: string) => void,
  onLost: () => void,
): Promise<RedisLink> {
  const { createClient } = await load();
  const where = url.startsWith('unix://')
    ? {
        socket: {
          path: decodeURIComponent(new URL(url).pathname),
          connectTimeout: CONNECT_TIMEOUT_MS,
          reconnectStrategy: false as const,
        },
      }
    : { url, socket: { connectTimeout: CONNECT_TIMEOUT_MS, reconnectStrategy: false as const } };
  const client: Client = createClient({ ...where, disableOfflineQueue: true, commandsQueueMaxLength: QUEUE_MAX });
  let state: 'connecting' | 'there' | 'lost' = 'connecting';
  const close = (): void => {
    const wasThere = state === 'there';
    state = 'lost';
    client.destroy();
    if (wasThere) onLost();
  };
  // Without a listener an error event ends the process; each command rejects with it too.
  client.on('error', () => undefined);
  client.on('terminated', () => close());
  client.on('end', () => close());
  try {
    await client.connect();
    await client.subscribe(channel, onMessage);
  } catch (error) {
    client.destroy();
    throw error;
  }
  if (!client.isReady) throw new Error('the connection was lost at once');
  state = 'there';
  // Connecting takes 2 s at most; from now on it keeps no process alive.
  client.unref();
  return { client, close };
}

async function load(): Promise<{ readonly createClient: typeof CreateClient }> {
  try {
    return await import('@redis/client');
  } catch (error) {
    throw new GovernorError('unsupported', 'a second level in Redis needs the package @redis/client', { cause: error });
  }
}
