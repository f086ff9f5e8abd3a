/** `daemon:` of the file, beyond what its schema says. */

import type { Problem } from '../lib/core/errors.ts';
import { redisUrlProblem } from './cache-schema.ts';
import { DEFAULT_SAMPLE_INTERVAL_MS } from './config.ts';
import { DaemonSchema } from './daemon-schema.ts';
import type { DaemonFields } from './daemon-schema.ts';
import type { FileScope } from './file-scope.ts';
import { replaced } from './file-variables.ts';
import { historyProblems } from './history-schema.ts';
import { windowProblem } from './leaks.ts';

export interface FileDaemon {
  /** Undefined: the schema has reported why. */
  readonly fields: DaemonFields | undefined;
  readonly problems: readonly Problem[];
}

export function readDaemon(raw: unknown, scope: FileScope): FileDaemon {
  const parsed = DaemonSchema.safeParse(raw ?? {});
  if (!parsed.success) return { fields: undefined, problems: [] };
  const fields = parsed.data;
  const short = windowProblem(fields.leaks?.window, fields.sample_interval ?? DEFAULT_SAMPLE_INTERVAL_MS);
  const windows =
    short === null ? [] : [{ where: scope.document.locate(['daemon', 'leaks', 'window'], 'value'), ...short }];
  const { cache } = fields;
  const ofHistory = historyProblems(fields.history).map(({ path, ...wrong }) => ({
    where: scope.document.locate(['daemon', 'history', ...path], 'value'),
    ...wrong,
  }));
  const ofOthers = [...windows, ...ofHistory];
  if (cache === undefined || cache === 'off' || cache.redis === undefined) return { fields, problems: ofOthers };
  const path = ['daemon', 'cache', 'redis'];
  const { values, problems } = replaced(path, { url: cache.redis.url }, scope);
  const url = values['url'] ?? '';
  const found = [...ofOthers, ...problems];
  const wrong = problems.length > 0 ? null : redisUrlProblem(url);
  if (wrong !== null) found.push({ where: scope.document.locate([...path, 'url'], 'value'), ...wrong });
  if (cache.entries !== undefined)
    found.push({
      where: scope.document.locate(['daemon', 'cache', 'entries'], 'value'),
      message: 'entries has no effect with redis',
      hint: 'write redis: { first_level: { entries: … } }',
    });
  return { fields: { ...fields, cache: { ...cache, redis: { ...cache.redis, url } } }, problems: found };
}
