/** One call to a run, for whoever passes it on: when it began, went on, was answered. What becomes of its deadline is the ladder's. */

import { GovernorError } from '../core/errors.ts';
import type { CallCancellation } from './open-calls.ts';
import type { Run } from './run.ts';
import type { Tool } from './tool.ts';

export interface ServedCall {
  /** The server reported progress: with `renew: progress` its clock begins anew. */
  progressed(): void;
  /** The server asked the client something: the clock stands still. @returns what ends that, once */
  asked(): () => void;
  /** After a cancellation: whether the server has answered its ping. Where it has, the call is over. */
  checked(isAnswered: boolean): void;
  /** It was answered. Idempotent. */
  end(): void;
}

/** What this needs of a tool. */
type Ladder = Pick<Tool, 'handle' | 'look'>;

/**
 * @param label for people: `tools/call search`
 * @param onCancel told once, when its limit has run out: it is to be cancelled by protocol, and the server to be pinged
 * @throws GovernorError internal for a run that speaks no MCP
 */
export function beginCall(
  tool: Ladder,
  run: Run,
  label: () => string,
  onCancel: (why: CallCancellation) => void,
): ServedCall {
  const { calls } = run;
  if (calls === null) throw new GovernorError('internal', `run ${run.id} of ${run.tool} takes no calls`);
  const now = (): number => run.nowMs;
  const call = calls.begin(label, now(), onCancel);
  const lookInTime = (): void => {
    const untilMs = calls.untilNextStageMs(run.limits.runtime, now());
    if (untilMs !== null) tool.look(run, untilMs + 1);
  };
  const end = (): void => {
    const left = calls.end(call, run.limits.runtime, now());
    // What ends needs no word of its calls: they end with it.
    if (left !== null && run.state === 'running') tool.handle(run, { kind: 'decisions', decisions: [left] });
  };
  lookInTime();
  return {
    progressed() {
      if (run.limits.runtime?.renew !== 'none') calls.renew(call, now());
    },
    asked() {
      calls.ask(call, now());
      let isOpen = true;
      return () => {
        if (!isOpen) return;
        isOpen = false;
        calls.answer(call, now());
        lookInTime();
      };
    },
    checked(isAnswered) {
      // Of a client of something elsewhere nothing is ended by the ladder: its health checks see to it.
      if (isAnswered || run.endRequest !== null || run.limits.runtime === null || run.init.notGoverned !== null)
        return end();
      call.phase = 'unanswered';
      tool.look(run, 0);
    },
    end() {
      // Until its server has answered the ping it stays in the ladder.
      if (call.phase === 'open') end();
    },
  };
}
