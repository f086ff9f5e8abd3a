/** What is kept of failures and recoveries in the state directory: how each strategy did, and a post-mortem of each failure. */

import type { Config } from '../config/config.ts';
import type { Clock } from '../lib/core/clock.ts';
import { PostMortemStore } from '../lib/observe/post-mortem-store.ts';
import { RecoveryStore } from '../lib/observe/recovery-store.ts';
import type { Scope } from '../lib/scope/scope.ts';
import type { Log } from '../lib/supervisor/ports.ts';
import type { PostMortem } from '../lib/supervisor/post-mortem-view.ts';

const WRITE_DEADLINE_MS = 5_000;

export interface Recoveries {
  readonly recoveries: RecoveryStore;
  readonly postMortems: PostMortemStore<PostMortem>;
}

/** @param root writes what is left before the daemon ends */
export function openRecoveries(stateDir: string, config: Config, clock: Clock, log: Log, root: Scope): Recoveries {
  const onProblem = (problem: string): void => log.error({}, problem);
  const recoveries = new RecoveryStore({
    file: `${stateDir}/recoveries.json`,
    wallMs: () => clock.wallMs(),
    onProblem,
  });
  root.add('recoveries', () => recoveries.flush(), WRITE_DEADLINE_MS);
  const { keep: keepPerTool, maxBytes } = config.daemon.postMortems;
  const postMortems = new PostMortemStore<PostMortem>({
    directory: `${stateDir}/post-mortems`,
    keepPerTool,
    maxBytes,
    onProblem,
  });
  root.add('post-mortems', () => postMortems.settled(), WRITE_DEADLINE_MS);
  return { recoveries, postMortems };
}
