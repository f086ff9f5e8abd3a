/** A pool of named things, with a log of what was made and cleaned up, on a clock of the test's. */

import type { Cleanup, Factory, ResourceManagerOptions } from '../../lib/client/pool-types.ts';
import { ResourceManager } from '../../lib/client/resource-manager.ts';
import { manualClock, type ManualClock } from './manual-clock.ts';

export interface Named {
  readonly name: string;
}

export interface Pool<C extends ManualClock> {
  readonly manager: ResourceManager;
  readonly clock: C;
  readonly log: string[];
  /** A factory and a cleanup that say what they do. */
  make(name: string): readonly [Factory<Named>, Cleanup<Named>];
}

export function pool<C extends ManualClock = ManualClock>(
  options: ResourceManagerOptions = {},
  clock: C = manualClock() as C,
): Pool<C> {
  const log: string[] = [];
  const quiet = (): void => undefined;
  const manager = new ResourceManager({
    environment: {},
    onCleanupError: quiet,
    monotonicMs: () => clock.monotonicMs(),
    ...options,
  });
  const make: Pool<C>['make'] = (name) => [
    () => {
      log.push(`made ${name}`);
      return { name };
    },
    (resource) => {
      log.push(`cleaned ${resource.name}`);
    },
  ];
  return { manager, clock, log, make };
}

export interface Gate<T> {
  readonly passed: Promise<T>;
  open(value: T): void;
}

export function gate<T>(): Gate<T> {
  let open: (value: T) => void = () => undefined;
  const passed = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}
