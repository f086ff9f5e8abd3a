/** The state of one tool: events come in, the transition table decides, each change is on record. */

import { GovernorError } from '../core/errors.ts';
import type { ToolEffect, ToolEvent, ToolState } from '../core/tool-state.ts';
import { transition } from '../core/tool-state.ts';
import type { SupervisorPorts } from './ports.ts';

export class Lifecycle {
  readonly #tool: string;
  readonly #recorder: SupervisorPorts['recorder'];
  readonly #perform: (effect: ToolEffect) => void;
  #state: ToolState = 'registered';
  /** It has left the table: late events find nothing to do, and its name may be another's by now. */
  #gone = false;

  constructor(tool: string, recorder: SupervisorPorts['recorder'], perform: (effect: ToolEffect) => void) {
    this.#tool = tool;
    this.#recorder = recorder;
    this.#perform = perform;
  }

  get state(): ToolState {
    return this.#state;
  }

  /** @throws GovernorError what the table refuses */
  dispatch(event: ToolEvent, runId?: string): void {
    const from = this.#gone ? 'gone' : this.#state;
    const cell = transition(from, event);
    if ('ignore' in cell) return;
    if ('refuse' in cell)
      throw new GovernorError(
        cell.refuse,
        `${this.#tool} is ${from}: ${event.replaceAll('_', ' ')} is not possible now`,
      );
    this.#gone = cell.to === 'gone';
    this.#state = cell.to === 'gone' ? 'unregistering' : cell.to;
    if (from !== cell.to) {
      this.#recorder.record({
        kind: 'lifecycle',
        tool: this.#tool,
        ...(runId === undefined ? {} : { run: runId }),
        from,
        to: cell.to,
        event,
      });
    }
    for (const effect of cell.effects) this.#perform(effect);
  }
}
