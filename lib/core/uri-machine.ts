/** Runs the program of a template over a URI: one step a character and way, each way kept once. */

import type { Instruction } from './uri-program.ts';

export interface Capture {
  readonly variable: number;
  readonly text: string;
}

/** What a way has captured so far; ways share what they have in common. */
interface Trail {
  readonly variable: number;
  readonly from: number;
  readonly to: number;
  readonly before: Trail | null;
}

interface Ways {
  readonly at: number[];
  readonly from: number[];
  readonly trails: (Trail | null)[];
}

/**
 * The captures in the order of the URI, of the preferred way that reads all of it; null when there is none.
 * @param uri ASCII
 * @param start how many characters are known to match: the program begins with as many instructions for them
 */
export function runProgram(program: readonly Instruction[], uri: string, start: number): readonly Capture[] | null {
  const seenAt = new Int32Array(program.length).fill(-1);
  let ways: Ways = { at: [], from: [], trails: [] };
  let next: Ways = { at: [], from: [], trails: [] };

  /** Follows what takes no character. As deep as the template nests, which its length bounds. */
  const follow = (into: Ways, at: number, position: number, from: number, trail: Trail | null): void => {
    for (let pc = at, start = from, before = trail; seenAt[pc] !== position;) {
      seenAt[pc] = position;
      const instruction = program[pc] as Instruction;
      switch (instruction.kind) {
        case 'jump':
          pc = instruction.to;
          break;
        case 'split':
          follow(into, instruction.first, position, start, before);
          pc = instruction.second;
          break;
        case 'start':
          start = position;
          pc++;
          break;
        case 'end': {
          before = { variable: instruction.variable, from: start, to: position, before };
          pc++;
          break;
        }
        case 'set':
        case 'match':
          into.at.push(pc);
          into.from.push(start);
          into.trails.push(before);
          return;
      }
    }
  };

  follow(ways, start, start, start, null);
  for (let position = start; position < uri.length; position++) {
    if (ways.at.length === 0) return null;
    const code = uri.charCodeAt(position);
    for (let index = 0; index < ways.at.length; index++) {
      const at = ways.at[index] as number;
      const instruction = program[at] as Instruction;
      if (instruction.kind === 'set' && instruction.set[code] === 1)
        follow(next, at + 1, position + 1, ways.from[index] as number, ways.trails[index] as Trail | null);
    }
    const empty = ways;
    ways = next;
    next = empty;
    next.at.length = next.from.length = next.trails.length = 0;
  }
  const whole = ways.at.findIndex((at) => program[at]?.kind === 'match');
  return whole === -1 ? null : capturesOf(ways.trails[whole] ?? null, uri);
}

function capturesOf(last: Trail | null, uri: string): readonly Capture[] {
  const captures: Capture[] = [];
  for (let trail = last; trail !== null; trail = trail.before)
    captures.push({ variable: trail.variable, text: uri.slice(trail.from, trail.to) });
  return captures.reverse();
}
