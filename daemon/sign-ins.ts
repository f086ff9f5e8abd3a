/** Joins the sign-ins of servers elsewhere to the tools and the audit; what REST asks of them. */

import type { Clock } from '../lib/core/clock.ts';
import { openSignInStore } from '../lib/mcp/sign-in/store.ts';
import { SignIns } from '../lib/mcp/sign-in/sign-ins.ts';
import { GovernorError } from '../lib/core/errors.ts';
import type { ToolDefinition } from '../lib/supervisor/governor.ts';
import type { Recorder } from '../lib/observe/recorder.ts';
import type { Log } from '../lib/supervisor/ports.ts';
import type { Registry } from '../lib/supervisor/registry.ts';
import type { SignInActions } from './api/dependencies.ts';

export interface SignInsInput {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly recorder: Recorder;
  /** Asked only when something has happened. */
  registry(): Registry;
  /** Who is signed in is somebody else from now on, or nobody. */
  onChanged(tool: string): void;
}

export function createSignIns({ stateDir, clock, log, recorder, registry, onChanged }: SignInsInput): SignIns {
  return new SignIns({
    store: openSignInStore(`${stateDir}/sign-ins`),
    log,
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    onEvent: (event) => {
      recorder.record({ kind: 'sign_in', ...event });
      // Again: calls that were open may have been answered meanwhile.
      onChanged(event.tool);
    },
    endRuns: async (name, message) => {
      onChanged(name);
      const tool = registry().live.get(name);
      if (tool === undefined) return;
      await tool
        .stop('sign_in', message)
        .catch((error: unknown) => log.warn({ tool: name, err: error }, 'it could not be stopped'));
    },
  });
}

export function signInActions(signIns: SignIns, registry: Registry, log: Log): SignInActions {
  const definitionOf = (name: string): ToolDefinition => {
    const tool = registry.live.get(name);
    if (tool === undefined) throw new GovernorError('unknown_tool', `no tool is named ${name}`, { data: { name } });
    return tool.definition;
  };
  return {
    begin: (name, redirectUri) => signIns.begin(definitionOf(name), redirectUri),
    async finish(name, answer, by) {
      await signIns.finish(definitionOf(name), new URLSearchParams(answer), by);
      const tool = registry.live.get(name);
      // As it would have been started with the daemon.
      if (tool?.definition.autostart === true && tool.state === 'registered')
        tool.activate(null).catch((error: unknown) => log.warn({ tool: name, err: error }, 'did not start'));
      return registry.tool(name);
    },
    logout: (name, by) => signIns.logout(definitionOf(name), by),
  };
}
