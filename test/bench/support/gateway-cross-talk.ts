/** Two clients with equal request ids and progress tokens on one process: nobody may get anything of the other's. */

import { addressOf, startDaemon } from '../../helpers/daemon.ts';
import { fixtureCommand } from '../../helpers/fixture.ts';
import type { Bench } from './bench.ts';
import { ENVIRONMENT } from './gateway-paths.ts';
import { type Document, handshake, httpWire } from './mcp-wire.ts';

const CALLS = 200;
const AT_ONCE = 8;
const STEPS = 3;

export async function crossTalk(bench: Bench): Promise<void> {
  const [command, ...args] = fixtureCommand('mcp-probe');
  const daemon = await startDaemon(bench, {
    config: { tools: { probe: { command, args, env: ENVIRONMENT, sharing: 'shared' } } },
  });
  const { url, token } = addressOf(daemon);
  const wrong = { answers: 0, progress: 0, afterResult: 0, outOfOrder: 0 };
  let reports = 0;
  const client = async (name: string): Promise<number> => {
    const wire = await handshake(httpWire(new URL('/mcp/probe', url).href, token), name);
    const last = new Map<number, number>();
    const answered = new Set<number>();
    wire.onMessage = (message: Document) => {
      if (message.method !== 'notifications/progress') return;
      const { progressToken, progress, message: said } = message.params;
      reports += 1;
      if (said !== `${name}-${progressToken}`) wrong.progress += 1;
      if (answered.has(progressToken)) wrong.afterResult += 1;
      if (progress !== (last.get(progressToken) ?? 0) + 1) wrong.outOfOrder += 1;
      last.set(progressToken, progress);
    };
    let next = 0;
    const caller = async (): Promise<void> => {
      while (next < CALLS) {
        const call = (next += 1);
        const value = `${name}-${call}`;
        const given = {
          name: 'echo',
          arguments: { value, ms: call % 4, steps: STEPS },
          _meta: { progressToken: call },
        };
        const result = await wire.request('tools/call', given);
        answered.add(call);
        if (result.content[0].text !== value) wrong.answers += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, caller));
    const seen = JSON.parse((await wire.request('tools/call', { name: 'seen', arguments: {} })).content[0].text);
    await wire.close();
    return seen.pid;
  };
  const pids = await Promise.all([client('left'), client('right')]);
  bench.check('cross-talk: both clients had one process', pids[0] === pids[1], `pids ${pids.join(', ')}`);
  bench.check(
    `cross-talk: ${2 * CALLS} calls with equal ids, none wrong`,
    wrong.answers === 0,
    `${wrong.answers} wrong`,
  );
  bench.check(
    'progress: each report to its own client, in order, before the result',
    reports === 2 * CALLS * STEPS && wrong.progress + wrong.afterResult + wrong.outOfOrder === 0,
    `${reports} of ${2 * CALLS * STEPS}; ${wrong.progress} to the other, ${wrong.outOfOrder} out of order, ${wrong.afterResult} late`,
  );
}
