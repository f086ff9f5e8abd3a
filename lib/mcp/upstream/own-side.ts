/** Governor itself as the one who asks a server: it answers no questions, and is told nothing. */

import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange } from '../wire/session.ts';
import { failure } from '../wire/text.ts';

function refuse(): Promise<Answer> {
  return Promise.resolve(failure(RPC_CODE.methodNotFound, 'Governor itself answers no questions'));
}

export function quiet(signal: AbortSignal): Exchange {
  return { signal, notify: () => undefined, ask: refuse };
}

export function ownClient({ info, capabilities }: Pick<Client, 'info' | 'capabilities'>): Client {
  return {
    era: 'legacy',
    context: 'governor',
    protocolVersion: '',
    info,
    capabilities,
    notify: () => undefined,
    ask: refuse,
  };
}
