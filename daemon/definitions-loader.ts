/** Reads the configuration again for the registry: what it says is in force from then on, and what needs a restart is told. */

import type { Config } from '../config/config.ts';
import { cacheNote, restartNeeded, sharedLimitsNote } from '../config/restart-needed.ts';
import { formatProblem } from '../lib/core/errors.ts';
import type { Metrics } from '../lib/observe/metrics.ts';
import type { Recorder } from '../lib/observe/recorder.ts';
import type { RegistryOptions } from '../lib/supervisor/registry.ts';
import type { ConfigSource } from './config-source.ts';

export interface DefinitionsLoaderOptions {
  readonly source: ConfigSource;
  readonly metrics: Pick<Metrics, 'setConfigReload'>;
  readonly recorder: Pick<Recorder, 'record'>;
  readonly current: () => Config;
  readonly replace: (next: Config) => void;
}

/** What it returns throws what is wrong with the file, and then nothing has changed. */
export function definitionsLoader(options: DefinitionsLoaderOptions): RegistryOptions['loadDefinitions'] {
  const { source, metrics, recorder, current, replace } = options;
  return () => {
    const next = source.reload({
      onOutcome(problems) {
        metrics.setConfigReload(problems === null);
        if (problems === null) return;
        const refused = problems.map(formatProblem);
        recorder.record({ kind: 'daemon', event: 'config_reload', detail: { refused } });
      },
    });
    const former = current();
    const notes = [
      ...restartNeeded(former.daemon, next.daemon),
      ...cacheNote(former.daemon, next.daemon),
      ...sharedLimitsNote(former, next),
    ];
    replace(next);
    return Promise.resolve({ definitions: next.tools, notes });
  };
}
