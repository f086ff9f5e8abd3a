/** The address of a server elsewhere. */

import { GovernorError } from '../../core/errors.ts';

/** @throws GovernorError invalid_config for one that is none of Streamable HTTP */
export function addressOf(url: string): URL {
  let address: URL;
  try {
    address = new URL(url);
  } catch {
    throw new GovernorError('invalid_config', `${url} is no address; write https://HOST/PATH`);
  }
  if (address.protocol === 'ws:' || address.protocol === 'wss:')
    throw new GovernorError(
      'invalid_config',
      'WebSocket is no transport of MCP; write the https:// address of its Streamable HTTP endpoint',
    );
  if (address.protocol !== 'http:' && address.protocol !== 'https:')
    throw new GovernorError('invalid_config', `${address.protocol} is not spoken here; write https://HOST/PATH`);
  return address;
}
