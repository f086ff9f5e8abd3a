/** One call of a tool as a client makes it, through the daemon's MCP address. */

import { addressOf, type RunningDaemon } from '../../helpers/daemon.ts';
import { handshake, httpWire } from '../support/mcp-wire.ts';

const PATIENCE_MS = 10_000;

/** @returns the text of the answer; null for a refusal, and for none within ten seconds */
export async function canary(
  daemon: RunningDaemon,
  tool: string,
  name: string,
  given: Readonly<Record<string, unknown>>,
): Promise<string | null> {
  const { url, token } = addressOf(daemon);
  const wire = httpWire(new URL(`/mcp/${encodeURIComponent(tool)}`, url).href, token);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), PATIENCE_MS)));
  const call = async (): Promise<string | null> => {
    await handshake(wire, 'canary');
    const result = await wire.request('tools/call', { name, arguments: given });
    return result.isError === true ? null : String(result.content?.[0]?.text ?? '');
  };
  try {
    return await Promise.race([call().catch(() => null), late]);
  } finally {
    clearTimeout(timer);
    await wire.close();
  }
}
