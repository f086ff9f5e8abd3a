/** The pool itself as a client, for reading lists: it takes no notice and answers no question. */

import type { Answer } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import type { Client, Exchange, ServerDescription } from '../wire/session.ts';
import { errorAnswer } from './errors.ts';
import type { Identity } from './identity.ts';

function refuse(): Promise<Answer> {
  return Promise.resolve(errorAnswer(RPC_CODE.methodNotFound, 'Governor reads lists and answers nothing'));
}

export function internalClient({ era, protocolVersion }: ServerDescription, governor: Identity): Client {
  return {
    era,
    context: 'governor',
    protocolVersion,
    info: governor.info,
    capabilities: {},
    isGovernor: true,
    notify: () => undefined,
    ask: refuse,
  };
}

export function internalExchange(signal: AbortSignal): Exchange {
  return { signal, notify: () => undefined, ask: refuse };
}
