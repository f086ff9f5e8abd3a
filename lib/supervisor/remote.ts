/**
 * A run of a tool that is a server elsewhere: it has a conversation and a life like any run, but no process, no temp directory
 * and no ledger entry here. Nothing of it can be measured or held, and it says so.
 */

import { maskArguments } from '../core/mask.ts';
import { RESOURCES } from '../core/resource.ts';
import type { Reading } from '../core/usage.ts';
import type { Containment, RunSample } from '../os/backend.ts';
import { Scope } from '../scope/scope.ts';
import type { Assembled } from './assembly.ts';
import { addConnection } from './assembly.ts';
import { Ending } from './ending.ts';
import type { ToolDefinition } from './governor.ts';
import type { SupervisorPorts } from './ports.ts';
import { Run } from './run.ts';

/** Why nothing of it is measured or held here. */
export const RUNS_ELSEWHERE = 'it runs on another host';
const ELSEWHERE: Reading = { kind: 'unsupported', reason: RUNS_ELSEWHERE };

export function assembleRemote(
  definition: ToolDefinition,
  { context, onDemand }: { readonly context: string | null; readonly onDemand: boolean },
  ports: SupervisorPorts,
): Assembled {
  const id = ports.newRunId();
  const scope = new Scope({ label: `run ${id}`, monotonicMs: () => ports.clock.monotonicMs() });
  const run = new Run(
    {
      id,
      mode: 'managed',
      definition,
      context,
      onDemand,
      detached: false,
      clients: [],
      tempDir: '',
      cwd: '',
      command: maskArguments([definition.command]),
      notGoverned: RUNS_ELSEWHERE,
      containment: nothingHere(id, ports),
      scope,
      startedMs: ports.clock.monotonicMs(),
      startedWallMs: ports.clock.wallMs(),
    },
    ports,
  );
  const assembled: Assembled = {
    run,
    ending: new Ending(run, ports),
    variables: {},
    prefix: [],
    progress: () => undefined,
  };
  addConnection(assembled);
  return assembled;
}

function nothingHere(cookie: string, ports: SupervisorPorts): Containment {
  return {
    record: { backend: ports.backend.id, directories: [], cookie },
    wrap: [],
    usage: { sample, cpuTimeMs: () => ELSEWHERE, close: () => undefined },
    inspect: { processes: () => [], sockets: () => [], files: () => [] },
    // Nothing of it is here, so nothing of it can be left here.
    membership: { members: () => [], exact: true },
    killer: { kill: async () => undefined, signal: async () => 0 },
    limits: { apply: async () => RESOURCES.map((resource) => ({ resource, enforcement: 'none' as const })) },
    brakes: {
      supports: () => ({ reason: RUNS_ELSEWHERE }),
      set: async () => undefined,
      lift: async () => undefined,
    },
    attach: async () => undefined,
    watch: () => () => undefined,
    remove: async () => undefined,
    close: () => undefined,
  };
}

/** It lives as long as its conversation does, which ends the run when it is over. */
function sample(atMs: number): RunSample {
  return {
    atMs,
    populated: true,
    still: true,
    memory: ELSEWHERE,
    cpuTimeMs: ELSEWHERE,
    fileHandles: ELSEWHERE,
    sockets: ELSEWHERE,
    tempStorage: ELSEWHERE,
    tasks: ELSEWHERE,
    oomKills: 0,
    cpuThrottledMs: 0,
    memoryStallMs: null,
  };
}
