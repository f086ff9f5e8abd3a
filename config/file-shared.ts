/** `daemon.budget` and `contexts:` of the file: limits that several runs share. */

import { BUDGET_ACTIONS, BUDGET_RESOURCES } from '../lib/core/budget.ts';
import type { BudgetResource, BudgetRules, ContextRule } from '../lib/core/budget.ts';
import type { Problem } from '../lib/core/errors.ts';
import { DEFAULT_THRESHOLDS } from '../lib/core/ladder.ts';
import { NO_LIMITS } from '../lib/core/limits.ts';
import type { ResolvedLimit } from '../lib/core/limits.ts';
import { mapping } from './file-scope.ts';
import type { FileScope } from './file-scope.ts';
import { SharedLimitsSchema } from './limit-schema.ts';
import { quote } from './notation.ts';
import type { SharedLimitFields } from './schema.ts';

/** As for `--context`. */
const MAX_CONTEXT_CHARACTERS = 256;

export interface FileShared {
  readonly limits: Pick<BudgetRules, 'host' | 'contexts'>;
  /** What the schema does not find. */
  readonly problems: readonly Problem[];
}

export function readSharedLimits(root: Readonly<Record<string, unknown>>, scope: FileScope): FileShared {
  const { locate } = scope.document;
  const budget = SharedLimitsSchema.safeParse(mapping(root['daemon'])['budget'] ?? {});
  const host = budget.success ? resolved(['daemon', 'budget'], budget.data, 'budget', scope) : {};
  const contexts: ContextRule[] = [];
  const problems: Problem[] = [];
  for (const [name, entry] of Object.entries(mapping(root['contexts']))) {
    const path = ['contexts', name];
    if (!isContextName(name))
      problems.push({
        where: locate(path, 'key'),
        message: `contexts: ${quote(name)} cannot name a context`,
        hint: '1 to 256 characters, no control characters; * stands for any characters',
      });
    const parsed = SharedLimitsSchema.safeParse(entry);
    if (parsed.success) contexts.push({ name, limits: resolved(path, parsed.data, `context ${name}`, scope) });
  }
  return { limits: { host: { ...NO_LIMITS, ...host }, contexts }, problems };
}

function isContextName(name: string): boolean {
  return name.trim() !== '' && name.length <= MAX_CONTEXT_CHARACTERS && !/\p{Cc}/u.test(name);
}

function resolved(
  path: readonly string[],
  fields: SharedLimitFields,
  of: string,
  { document, shortPlace }: FileScope,
): ContextRule['limits'] {
  const limits: Partial<Record<BudgetResource, ResolvedLimit | null>> = {};
  for (const resource of BUDGET_RESOURCES) {
    const value = fields[resource];
    if (value === undefined) continue;
    const { limit, inodes, reason } = value;
    limits[resource] =
      limit === null
        ? null
        : {
            resource,
            limit,
            ...(inodes === undefined ? {} : { inodes }),
            thresholds: DEFAULT_THRESHOLDS,
            actions: BUDGET_ACTIONS[resource],
            source: { from: 'file', detail: `${of} (${shortPlace(document.locate([...path, resource], 'value'))})` },
            ...(reason === undefined ? {} : { reason }),
          };
  }
  return limits;
}
