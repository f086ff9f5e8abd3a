/** Where the configuration comes from, and how it is read again. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { hostFacts } from '../config/host.ts';
import { loadConfig } from '../config/load.ts';
import type { ConfigWatcher } from '../config/watch.ts';
import { watchConfig } from '../config/watch.ts';
import { GovernorError, formatProblem } from '../lib/core/errors.ts';
import type { Problem } from '../lib/core/errors.ts';
import type { Result } from '../lib/core/result.ts';
import type { Locations } from './cli/locations.ts';

export interface ConfigSource {
  /** @throws GovernorError invalid_config with every problem */
  load(): Config;
  /** The same, and tells how it went. */
  reload(told: { onOutcome(problems: readonly Problem[] | null): void }): Config;
  /** null when there is no file to watch. */
  watch(onChange: () => void): ConfigWatcher | null;
}

export function createConfigSource(locations: Locations): ConfigSource {
  const path = locations.configPath ?? usersOwn();
  const read = (text?: string): Result<Config, readonly Problem[]> =>
    loadConfig({
      path,
      ...(text === undefined ? {} : { text }),
      host: hostFacts(),
      env: process.env,
      listen: locations.listen,
    });
  return {
    load: () => valid(read()),
    reload(told) {
      const result = read();
      told.onOutcome(result.ok ? null : result.error);
      return valid(result);
    },
    // The contents are read again by the reload itself, which is the one way in for all that ask for it.
    watch: (onChange) => (path === null ? null : watchConfig({ path, load: read, onChange: () => onChange() })),
  };
}

function valid(result: Result<Config, readonly Problem[]>): Config {
  if (result.ok) return result.value;
  throw new GovernorError('invalid_config', result.error.map(formatProblem).join('\n'), { problems: result.error });
}

/** `$XDG_CONFIG_HOME/governor/limits.yaml`, where there is one. */
function usersOwn(): string | null {
  const { XDG_CONFIG_HOME: given = '', HOME: home = '' } = process.env;
  // As in locations.ts, rule 1: empty or relative counts as not set.
  const folder = given.startsWith('/') ? given : home === '' ? null : join(home, '.config');
  if (folder === null) return null;
  const path = join(folder, 'governor', 'limits.yaml');
  return existsSync(path) ? path : null;
}
