/**
 * A template as a program for a machine that looks at each character of a URI once, for all ways to read it at the same
 * time (Thompson's construction, with the captures of Pike's machine): linear in the URI, whatever the template. A regular
 * expression would try one way after the other: CVE-2026-0621 of MCP's own SDK.
 */

export type Instruction =
  | { readonly kind: 'set'; readonly set: Uint8Array }
  /** The first way is preferred. */
  | { readonly kind: 'split'; first: number; second: number }
  | { readonly kind: 'jump'; to: number }
  | { readonly kind: 'start' }
  | { readonly kind: 'end'; readonly variable: number }
  | { readonly kind: 'match' };

/** What `MAX_TEMPLATE_CHARACTERS` can make, but for long `{name:999}`. */
export const MAX_INSTRUCTIONS = 4096;

/** Raised with the position of the expression that is too much. */
export class ProgramTooLong extends Error {
  readonly position: number;

  constructor(position: number) {
    super('a length that long makes the template too large');
    this.position = position;
  }
}

export type Emit = () => void;

const ASCII = 128;
const single = new Map<string, Uint8Array>();

/** A program that is being written. */
export class Program {
  readonly instructions: Instruction[] = [];
  /** Of the expression that is being compiled. */
  position = 0;

  get length(): number {
    return this.instructions.length;
  }

  add(instruction: Instruction): void {
    if (this.length === MAX_INSTRUCTIONS) throw new ProgramTooLong(this.position);
    this.instructions.push(instruction);
  }

  /** Goes on with what follows; the other way is set later. */
  split(): { first: number; second: number } {
    const split = { kind: 'split' as const, first: this.length + 1, second: 0 };
    this.add(split);
    return split;
  }

  set(set: Uint8Array): void {
    this.add({ kind: 'set', set });
  }

  literal(text: string): void {
    for (const found of text) this.set(oneCharacter(found));
  }

  optional(body: Emit): void {
    const split = this.split();
    body();
    split.second = this.length;
  }

  repeat(body: Emit): void {
    const start = this.length;
    const split = this.split();
    body();
    this.add({ kind: 'jump', to: start });
    split.second = this.length;
  }

  either(first: Emit, second: Emit): void {
    this.oneOf([first, second]);
  }

  oneOf(ways: readonly Emit[]): void {
    const ends: { to: number }[] = [];
    for (const [position, way] of ways.entries()) {
      const last = position === ways.length - 1;
      const split = last ? null : this.split();
      way();
      if (split === null) continue;
      const end = { kind: 'jump' as const, to: 0 };
      this.add(end);
      ends.push(end);
      split.second = this.length;
    }
    for (const end of ends) end.to = this.length;
  }
}

/** By code: 1 for what is in it. */
export function setOf(includes: (character: string) => boolean): Uint8Array {
  return Uint8Array.from({ length: ASCII }, (_, code) => (includes(String.fromCharCode(code)) ? 1 : 0));
}

export function setExcept(characters: string): Uint8Array {
  return setOf((character) => !characters.includes(character));
}

function oneCharacter(found: string): Uint8Array {
  const set = single.get(found) ?? setOf((character) => character === found);
  single.set(found, set);
  return set;
}
