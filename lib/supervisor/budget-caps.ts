/**
 * What the kernel holds of a budget. Its caps lie on a group around those of the runs, so they are only put in force
 * while exactly the runs of the budget are in there, and none that Governor promised not to hold. Elsewhere it is polled.
 */

import { hasLimits } from '../core/budget.ts';
import type { ResolvedLimits } from '../core/limits.ts';
import { NO_LIMITS } from '../core/limits.ts';
import type { Reading } from '../core/usage.ts';
import type { LimitOutcome } from '../os/backend.ts';
import type { SharedGroup, SharedGroups } from '../os/outer-groups.ts';
import type { Run } from './run.ts';

export class BudgetCaps {
  outcomes: readonly LimitOutcome[] = [];
  /** Why the kernel holds nothing of it, for people; null where it does, or there is nothing to hold. */
  note: string | null = null;
  readonly #groups: SharedGroups | null;
  readonly #name: string | null;
  #group: SharedGroup | null = null;
  #isApplying = false;
  #members: { readonly count: number; readonly last: Run | null } = { count: 0, last: null };
  /** Of what was last applied. */
  #applied: { readonly limits: ResolvedLimits; readonly roomBytes: number; readonly group: SharedGroup } | null = null;

  /** @param context null: the host's */
  constructor(groups: SharedGroups | undefined, context: string | null) {
    this.#groups = groups ?? null;
    this.#name = context === null ? null : (groups?.nameOf(context) ?? null);
  }

  #isAround(run: Run): boolean {
    const place = placeOf(run, this.#groups);
    return place !== null && (this.#name === null || place.name === this.#name);
  }

  /**
   * To be called at each look.
   * @param all every run that is watched
   * @returns what is to be applied; null when all is in force
   */
  look(members: readonly Run[], all: readonly Run[], limits: ResolvedLimits): (() => Promise<void>) | null {
    if (this.#groups === null) return null;
    // It may only have gone, and another been made, while the last of its runs went.
    if (this.#hasChanged(members) && this.#group?.exists === false) this.close();
    this.#group ??= members.some((run) => this.#isAround(run)) ? this.#groups.open(this.#name) : null;
    const group = this.#group;
    if (group === null) {
      this.note = hasLimits(limits) ? 'its runs were started before it had limits' : null;
      return null;
    }
    this.note = hasLimits(limits) ? this.#objection(members, all) : null;
    const wanted = this.note === null ? limits : NO_LIMITS;
    const roomBytes = members.reduce((sum, run) => sum + tempRoomBytes(run), 0);
    const applied = this.#applied;
    const isSame = applied?.group === group && applied.limits === wanted && applied.roomBytes === roomBytes;
    if ((isSame && !this.#isPending) || this.#isApplying) return null;
    this.#isApplying = true;
    return async () => {
      try {
        this.outcomes = await group.apply(wanted, roomBytes);
        this.#applied = { limits: wanted, roomBytes, group };
      } finally {
        this.#isApplying = false;
      }
    };
  }

  #hasChanged(members: readonly Run[]): boolean {
    const last = members.at(-1) ?? null;
    const isSame = this.#members.count === members.length && this.#members.last === last;
    this.#members = { count: members.length, last };
    return !isSame;
  }

  /** A cap that waits until usage is below it. */
  get #isPending(): boolean {
    return (
      this.note === null &&
      this.outcomes.some(({ enforcement, note }) => enforcement === 'polled' && note !== undefined)
    );
  }

  #objection(members: readonly Run[], all: readonly Run[]): string | null {
    const free = members.find((run) => run.enforced !== run.limits);
    if (free !== undefined)
      return `run ${free.id} of ${free.tool} is held by no kernel cap (dry run, or it runs elsewhere)`;
    const outside = members.find((run) => !this.#isAround(run));
    if (outside !== undefined) return `run ${outside.id} of ${outside.tool} was started outside of its group`;
    const inside = new Set(members);
    const stranger = all.find((run) => !inside.has(run) && this.#isAround(run));
    return stranger === undefined ? null : `run ${stranger.id} of ${stranger.tool} is in its group and not of it`;
  }

  /** The kernel's own totals; null where they are not those of the members. */
  sample(
    members: readonly Run[],
    nowMs: number,
    fresh: boolean,
  ): { readonly memory: Reading; readonly tasks: Reading } | null {
    if (this.#applied === null || this.note !== null || this.#group === null) return null;
    // What lies in a TMPDIR in memory is no memory of theirs.
    if (members.some((run) => tempRoomBytes(run) > 0)) return null;
    return this.#group.sample(nowMs, fresh);
  }

  /** Of all members together, as of the shared group; null where not known, or not all of it is theirs. */
  memoryStallMs(): number | null {
    if (this.#applied === null || this.note !== null) return null;
    return this.#group?.memoryStallMs() ?? null;
  }

  supports(action: 'cpu_quota' | 'memory_high'): true | { readonly reason: string } {
    if (this.#group !== null && this.note === null) return this.#group.supports(action);
    return { reason: this.note ?? 'runs cannot be held together here' };
  }

  async setBrake(action: 'cpu_quota' | 'memory_high', limits: ResolvedLimits | null): Promise<void> {
    if (this.#group?.exists === true) await this.#group.setBrake(action, limits);
  }

  close(): void {
    this.#group?.close();
    this.#group = null;
    this.#applied = null;
    this.outcomes = [];
  }
}

function tempRoomBytes({ enforced: { temp_storage: temp } }: Run): number {
  return temp?.backing === 'tmpfs' ? temp.limit * temp.thresholds.emergency : 0;
}

/** Asked for at each look at each run, and never another. */
const places = new WeakMap<Run, ReturnType<SharedGroups['groupOf']>>();

export function placeOf(run: Run, groups: SharedGroups | null | undefined): ReturnType<SharedGroups['groupOf']> {
  const known = places.get(run);
  if (known !== undefined) return known;
  const place = groups?.groupOf(run.init.containment.record) ?? null;
  places.set(run, place);
  return place;
}
