/** What a server elsewhere refuses by a status of HTTP, as the error that it is. */

import { SdkHttpError } from '@modelcontextprotocol/client';
import type { RpcError } from '../wire/message.ts';
import { RPC_CODE } from '../wire/protocol.ts';
import { isFields } from '../wire/shape.ts';

/** What a status of 400 to 499 says: the JSON-RPC error in its body, or only its number. Null: it is something else that failed. */
export function refusalOf(error: unknown): RpcError | null {
  if (!(error instanceof SdkHttpError) || error.status < 400 || error.status > 499) return null;
  // Whoever is not let in has no answer.
  if (error.status === 401 || error.status === 403) return null;
  const told = { code: RPC_CODE.internalError, message: `the server answered with HTTP ${error.status}` };
  try {
    const body: unknown = JSON.parse(String(error.data['text']));
    const found = isFields(body) ? body['error'] : undefined;
    if (!isFields(found) || typeof found['code'] !== 'number' || typeof found['message'] !== 'string') return told;
    return { code: found['code'], message: found['message'], ...('data' in found ? { data: found['data'] } : {}) };
  } catch {
    return told;
  }
}
