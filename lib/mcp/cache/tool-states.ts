/** What holds for each tool of which something was asked, as it is defined now. */

import type { ServedTools } from '../../supervisor/served.ts';
import { ToolRules } from './tool-rules.ts';

export interface ToolState {
  rules: ToolRules;
  /** Its server may let all callers have something, which is in the second level then. */
  isShared: boolean;
}

export class ToolStates {
  readonly #tools: Pick<ServedTools, 'find' | 'has'>;
  readonly #onReplaced: (tool: string, former: Readonly<ToolState>) => void;
  readonly #states = new Map<string, ToolState>();

  /** @param onReplaced a tool has gone, or has other rules: what was kept under the former ones may not be served */
  constructor(
    tools: Pick<ServedTools, 'find' | 'has'>,
    onReplaced: (tool: string, former: Readonly<ToolState>) => void,
  ) {
    this.#tools = tools;
    this.#onReplaced = onReplaced;
  }

  known(): Iterable<readonly [string, ToolState]> {
    return this.#states;
  }

  /** Null: it is not there any more. */
  of(tool: string): ToolState | null {
    const state = this.#states.get(tool);
    let definition: ToolRules['definition'];
    try {
      ({ definition } = this.#tools.find(tool));
    } catch {
      return null;
    }
    if (state?.rules.definition === definition) return state;
    const rules = new ToolRules(definition);
    if (state === undefined) {
      const made: ToolState = { rules, isShared: false };
      this.#states.set(tool, made);
      return made;
    }
    const former = { ...state };
    state.rules = rules;
    if (!rules.sameAs(former.rules)) this.#onReplaced(tool, former);
    return state;
  }

  /** @param tool that came, went or is defined anew; null: any may be */
  refresh(tool: string | null): void {
    for (const name of tool === null ? [...this.#states.keys()] : [tool]) {
      const state = this.#states.get(name);
      if (state === undefined) continue;
      if (this.#tools.has(name)) this.of(name);
      else {
        this.#states.delete(name);
        this.#onReplaced(name, state);
      }
    }
  }
}
