/** Which calls growth is set against: by the name of the tool or prompt, where they got as far as the server. */

import { maskLabel } from '../lib/core/mask.ts';
import type { CallRecord } from '../lib/mcp/calls/account.ts';
import type { LeakWatch } from '../lib/supervisor/leak-watch.ts';

const NAME_MAX = 64;

export function countForLeaks({ run, method, name, outcome }: CallRecord, leaks: LeakWatch): void {
  if (run === null || outcome === 'refused') return;
  // A URI may hold a secret, and there is no end of them.
  const isNamed = name !== null && (method === 'tools/call' || method === 'prompts/get');
  leaks.onCall(run, isNamed ? maskLabel(name, NAME_MAX) : method);
}
