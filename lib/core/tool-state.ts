/**
 * The life of a tool: every state × event pair is decided here, a missing one fails the build. Pure: the effects are
 * requests, carried out by the tool's actor. Whether an unproven run forbids a new one is the actor's to say.
 */

import type { ErrorCode } from './errors.ts';

export type ToolState =
  | 'registered'
  | 'activating'
  | 'active'
  | 'deactivating'
  | 'recovering'
  | 'failed'
  | 'unregistering';

/** With the end of all: the tool has left the table, yet late events may still arrive. */
export type LifecycleState = ToolState | 'gone';

export type ToolEvent =
  /** Someone wants a run. */
  | 'activate_requested'
  /** A run is in place: ready, attached, or adopted from an earlier daemon. */
  | 'run_started'
  /** A start failed, and no other run or start is left. */
  | 'launch_failed'
  /** A run is proven over, and no other run is left. */
  | 'last_run_ended'
  /** A run is proven over; others are left. */
  | 'run_ended'
  | 'deactivate_requested'
  /** The recovery strategy wants another run, later. Follows the end of a run; posted again when one is still pending. */
  | 'recovery_scheduled'
  | 'recovery_due'
  /** The budget of failures is spent: the breaker opens. */
  | 'recovery_gave_up'
  /** Closes the breaker. */
  | 'reset_requested'
  | 'unregister_requested'
  /** A run ended, but its tree is not proven empty: it still counts as a run. */
  | 'stop_unproven'
  /** Proven now; `run_ended` or `last_run_ended` follows. */
  | 'stop_proven';

export type ToolEffect =
  | 'start_run'
  | 'stop_all_runs'
  /** Arms the timer; one that is armed already is kept. */
  | 'schedule_recovery'
  /** Disarms the timer; without one, nothing. */
  | 'cancel_recovery'
  | 'forget_tool';

export type Cell =
  | { readonly to: LifecycleState; readonly effects: readonly ToolEffect[] }
  /** Nothing to do; the reason is for logs. */
  | { readonly ignore: string }
  /** The caller asked for something that is not possible in this state. */
  | { readonly refuse: ErrorCode };

/** What the event does in the state. */
export function transition(state: LifecycleState, event: ToolEvent): Cell {
  return TRANSITIONS[state][event];
}

export const TRANSITIONS = {
  registered: {
    activate_requested: to('activating', 'start_run'),
    run_started: to('active'),
    launch_failed: ignore('no start is under way'),
    last_run_ended: ignore('no run is known'),
    run_ended: ignore('no run is known'),
    deactivate_requested: ignore('no run is active'),
    recovery_scheduled: to('recovering', 'schedule_recovery'),
    recovery_due: ignore('the recovery was cancelled'),
    recovery_gave_up: to('failed'),
    reset_requested: ignore('the breaker is not open'),
    unregister_requested: to('gone', 'forget_tool'),
    stop_unproven: to('deactivating'),
    stop_proven: ignore('no run is known'),
  },
  activating: {
    activate_requested: to('activating', 'start_run'),
    run_started: to('active'),
    launch_failed: to('registered'),
    last_run_ended: to('registered'),
    run_ended: to('activating'),
    deactivate_requested: to('deactivating', 'stop_all_runs'),
    recovery_scheduled: ignore('a start is under way'),
    // Queued before someone else asked for a start, which cancelled it.
    recovery_due: ignore('a start is under way'),
    recovery_gave_up: ignore('a start is under way'),
    reset_requested: ignore('the breaker is not open'),
    unregister_requested: to('unregistering', 'stop_all_runs'),
    stop_unproven: to('deactivating'),
    stop_proven: to('activating'),
  },
  active: {
    activate_requested: to('active', 'start_run'),
    run_started: to('active'),
    launch_failed: ignore('other runs are active'),
    last_run_ended: to('registered'),
    run_ended: to('active'),
    deactivate_requested: to('deactivating', 'cancel_recovery', 'stop_all_runs'),
    recovery_scheduled: to('active', 'schedule_recovery'),
    recovery_due: to('active', 'start_run'),
    recovery_gave_up: ignore('other runs are active'),
    reset_requested: ignore('the breaker is not open'),
    unregister_requested: to('unregistering', 'cancel_recovery', 'stop_all_runs'),
    stop_unproven: to('active', 'cancel_recovery'),
    stop_proven: to('active'),
  },
  deactivating: {
    activate_requested: refuse('illegal_state'),
    // A start that was overtaken by the stop.
    run_started: to('deactivating', 'stop_all_runs'),
    launch_failed: to('registered'),
    last_run_ended: to('registered'),
    run_ended: to('deactivating'),
    deactivate_requested: ignore('a stop is under way'),
    recovery_scheduled: ignore('a stop is under way'),
    recovery_due: ignore('a stop is under way'),
    recovery_gave_up: ignore('a stop is under way'),
    reset_requested: ignore('the breaker is not open'),
    unregister_requested: to('unregistering', 'stop_all_runs'),
    stop_unproven: to('deactivating'),
    stop_proven: to('deactivating'),
  },
  recovering: {
    activate_requested: to('activating', 'cancel_recovery', 'start_run'),
    run_started: to('active', 'cancel_recovery'),
    launch_failed: ignore('no start is under way'),
    last_run_ended: ignore('no run is known'),
    run_ended: ignore('no run is known'),
    deactivate_requested: to('registered', 'cancel_recovery'),
    recovery_scheduled: ignore('a recovery is scheduled'),
    recovery_due: to('activating', 'start_run'),
    recovery_gave_up: to('failed', 'cancel_recovery'),
    reset_requested: ignore('the breaker is not open'),
    unregister_requested: to('gone', 'cancel_recovery', 'forget_tool'),
    stop_unproven: to('deactivating', 'cancel_recovery'),
    stop_proven: ignore('no run is known'),
  },
  failed: {
    activate_requested: refuse('breaker_open'),
    run_started: to('failed', 'stop_all_runs'),
    launch_failed: ignore('the breaker is open'),
    last_run_ended: ignore('the breaker is open'),
    run_ended: ignore('the breaker is open'),
    deactivate_requested: ignore('no run is active'),
    recovery_scheduled: ignore('the breaker is open'),
    recovery_due: ignore('the breaker is open'),
    recovery_gave_up: ignore('the breaker is open'),
    reset_requested: to('registered'),
    unregister_requested: to('gone', 'forget_tool'),
    stop_unproven: ignore('the breaker is open: nothing starts anyway'),
    stop_proven: ignore('the breaker is open'),
  },
  unregistering: {
    activate_requested: refuse('illegal_state'),
    run_started: to('unregistering', 'stop_all_runs'),
    launch_failed: to('gone', 'forget_tool'),
    last_run_ended: to('gone', 'forget_tool'),
    run_ended: to('unregistering'),
    deactivate_requested: ignore('a stop is under way'),
    recovery_scheduled: ignore('the tool is being unregistered'),
    recovery_due: ignore('the tool is being unregistered'),
    recovery_gave_up: ignore('the tool is being unregistered'),
    reset_requested: refuse('illegal_state'),
    unregister_requested: ignore('the tool is being unregistered'),
    stop_unproven: to('unregistering'),
    stop_proven: to('unregistering'),
  },
  gone: {
    activate_requested: refuse('unknown_tool'),
    run_started: to('gone', 'stop_all_runs'),
    launch_failed: ignore('the tool is gone'),
    last_run_ended: ignore('the tool is gone'),
    run_ended: ignore('the tool is gone'),
    deactivate_requested: refuse('unknown_tool'),
    recovery_scheduled: ignore('the tool is gone'),
    recovery_due: ignore('the tool is gone'),
    recovery_gave_up: ignore('the tool is gone'),
    reset_requested: refuse('unknown_tool'),
    unregister_requested: refuse('unknown_tool'),
    stop_unproven: ignore('the tool is gone'),
    stop_proven: ignore('the tool is gone'),
  },
} as const satisfies Record<LifecycleState, Record<ToolEvent, Cell>>;

function to(state: LifecycleState, ...effects: readonly ToolEffect[]): Cell {
  return { to: state, effects };
}

function ignore(reason: string): Cell {
  return { ignore: reason };
}

function refuse(code: ErrorCode): Cell {
  return { refuse: code };
}
