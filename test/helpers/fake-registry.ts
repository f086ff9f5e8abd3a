/** The real registry with its tools, responder and monitor, on ports that a test holds in its hands. */

import type { ToolDefinition } from '../../lib/supervisor/governor.ts';
import { Registry, type RegistryOptions } from '../../lib/supervisor/registry.ts';
import type { Tool } from '../../lib/supervisor/tool.ts';
import type { Run } from '../../lib/supervisor/run.ts';
import { fakeWorld, type FakeWorld, type WorldOptions } from './fake-ports.ts';
import { type DefinitionOverrides, fakeDefinition } from './fake-views.ts';
import type { TestScope } from './fixture.ts';
import { manualTime, type ManualTime } from './manual-time.ts';

export interface Stand extends FakeWorld {
  readonly time: ManualTime;
  readonly registry: Registry;
  /** What the file says when it is read again. */
  define(definitions: readonly ToolDefinition[]): void;
  readonly forgotten: string[];
  /** Whoever serves the tools, or looks on, puts its own in. */
  readonly hooks: {
    -readonly [K in 'onSpare' | 'onTools' | 'onSample' | 'onForgotten']?: NonNullable<RegistryOptions[K]>;
  };
  /** Registers a tool. */
  tool(name?: string, overrides?: DefinitionOverrides): Tool;
  /** Puts a launcher under supervision, as `governor run` does. */
  launch(name: string, overrides?: DefinitionOverrides, options?: Partial<Launching>): Promise<Run>;
}

interface Launching {
  readonly detached: boolean;
  readonly context: string | null;
  readonly clients: readonly { readonly pid: number; readonly startTicks: number }[];
  readonly go: () => boolean;
}

export function stand(t: TestScope, overrides: Omit<WorldOptions, 'clock'> = {}): Stand {
  const time = manualTime(t);
  const world = fakeWorld({ ...overrides, clock: time });
  const forgotten: string[] = [];
  const hooks: Stand['hooks'] = {};
  let definitions: readonly ToolDefinition[] = [];
  let notes: readonly string[] = [];
  const registry = new Registry({
    ports: world.ports,
    loadDefinitions: () => Promise.resolve({ definitions, notes }),
    events: { subscribe: () => () => undefined },
    onPass: () => undefined,
    onSample: (run) => hooks.onSample?.(run),
    onForgotten(name) {
      forgotten.push(name);
      hooks.onForgotten?.(name);
    },
    onSpare: (tool, run) => hooks.onSpare?.(tool, run),
    onTools: (tool) => hooks.onTools?.(tool),
  });
  return Object.assign(world, {
    time,
    registry,
    define: (next: readonly ToolDefinition[]) => void (definitions = next),
    forgotten,
    hooks,
    tool: (name = 'tool', definition: DefinitionOverrides = {}) => registry.add(fakeDefinition(name, definition)),
    launch(name: string, definition: DefinitionOverrides = {}, options: Partial<Launching> = {}) {
      const launcher = world.launcher();
      return registry.launch(fakeDefinition(name, { origin: 'run', ...definition }), {
        launcher: launcher.identity,
        clients: [],
        detached: false,
        context: null,
        cwd: '/',
        go: () => {
          world.points.say('go');
          return true;
        },
        ...options,
      });
    },
  });
}
