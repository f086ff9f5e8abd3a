/** The last samples of all tools, for a scrape of the metrics and for housekeeping. Reads nothing from the kernel. */

import type { ConnectionCounts, ToolSnapshot } from '../lib/observe/metrics.ts';
import { suspectedOf } from '../lib/supervisor/leak-view.ts';
import type { SupervisorPorts } from '../lib/supervisor/ports.ts';
import type { Registry } from '../lib/supervisor/registry.ts';
import { usageView } from '../lib/supervisor/tool-view.ts';

/** @param connectionsOf null for tools that are not served */
export function* toolSnapshots(
  registry: Registry,
  ports: SupervisorPorts,
  connectionsOf: (tool: string) => ConnectionCounts | null = () => null,
): Iterable<ToolSnapshot> {
  for (const tool of registry.live.values()) {
    const usage = usageView(tool, ports);
    const leaks = suspectedOf(
      [...tool.runs.values()].map(({ run }) => run),
      ports.leaks,
    );
    const connections = connectionsOf(tool.name);
    const times = usage.resources.flatMap(({ at }) => (at === null ? [] : [Date.parse(at)]));
    yield {
      tool: tool.name,
      state: tool.state,
      runs: tool.runs.size,
      cpuSeconds: tool.cpuTimeMs === null ? null : tool.cpuTimeMs / 1000,
      lastSampleAtMs: times.length === 0 ? null : Math.min(...times),
      resources: usage.resources,
      ...(leaks === undefined ? {} : { leaks }),
      ...(connections === null ? {} : { connections }),
    };
  }
}

/** No run of any tool is at a stage. */
export function isEachNormal(registry: Registry): boolean {
  for (const tool of registry.live.values())
    for (const { run } of tool.runs.values()) if (run.overallStage() !== 'normal') return false;
  return true;
}
