/** One request that may be answered from what is kept: what decides about it, and how its answer is kept and shown. Pure. */

import type { EntryId, Keep, Loaded } from '../../client/cache-types.ts';
import type { Fields } from '../wire/message.ts';
import type { Cacheable } from './cacheable.ts';
import type { CachedSession } from './cached-session.ts';
import { livesByNotice } from './life.ts';
import type { Grounds, Life } from './life.ts';

export interface Plan {
  readonly session: CachedSession;
  readonly request: Cacheable;
  readonly grounds: Grounds;
  /** Of this caller alone. */
  readonly own: EntryId;
  /** Of all callers. */
  readonly shared: EntryId;
}

/** @param isShared asked for as what all callers may have */
export function keepOf(plan: Plan, isShared: boolean, life: Life | undefined): 'skip' | Keep {
  if (life === undefined) return 'skip';
  const { ttlMs, scope } = life;
  // Its context may have ended, and what was kept of that be gone already.
  if (scope === 'caller' && plan.session.isClosed) return 'skip';
  if (isShared) return scope === 'public' ? { ttlMs } : { ttlMs, as: plan.own.key };
  return scope === 'public' ? { ttlMs, as: plan.shared.key } : { ttlMs };
}

/** What is kept says for how long it is still good; what is not, what its server said. */
export function shownResult({ session, grounds }: Plan, { value, freshMs }: Loaded<Fields>): Fields {
  const { client } = session;
  if (freshMs <= 0 || (client.frontEra ?? client.era) !== 'modern') return value;
  const { era, pattern } = grounds;
  // To others no more is said than the server has said, where it can say it.
  const isPublic = era === 'modern' ? value['cacheScope'] === 'public' : pattern?.value.scope === 'public';
  return {
    ...value,
    ttlMs: livesByNotice(grounds) ? 0 : Math.floor(freshMs),
    cacheScope: isPublic ? 'public' : 'private',
  };
}
