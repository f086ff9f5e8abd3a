/** Calls through a wire: latency of each, and how many a second. */

import type { Wire } from './mcp-wire.ts';

export interface Load {
  readonly latenciesMs: readonly number[];
  readonly perSecond: number;
  readonly seconds: number;
}

/** @param tool a tool that answers at once */
export async function load(wire: Wire, tool: string, calls: number, concurrent: number): Promise<Load> {
  const latenciesMs: number[] = [];
  const params = { name: tool, arguments: { message: 'x'.repeat(32) } };
  let left = calls;
  const began = performance.now();
  const caller = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const sent = performance.now();
      const result = await wire.request('tools/call', params);
      latenciesMs.push(performance.now() - sent);
      if (result.isError === true) throw new Error(`the tool failed: ${JSON.stringify(result).slice(0, 200)}`);
    }
  };
  await Promise.all(Array.from({ length: concurrent }, caller));
  const seconds = (performance.now() - began) / 1000;
  return { latenciesMs, perSecond: calls / seconds, seconds };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
