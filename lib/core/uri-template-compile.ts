/** Turns the parts of a template into a program: what each operator of RFC 6570 (3.2) can have made. */

import { Program, setExcept, setOf } from './uri-program.ts';
import type { Emit, Instruction } from './uri-program.ts';
import type { Operator, TemplatePart, Variable } from './uri-template-parse.ts';
import { normalizeUri } from './uri-text.ts';

type Named = Variable & { readonly index: number };

const ANY = setOf(() => true);
const NO_COMMA = setExcept(',');
/** RFC 6570 encodes more than these, servers that put URIs together by hand do not. */
const SIMPLE = setExcept('/?#&,;');
const LABEL = setExcept('/?#&,;.');
const QUERY = setExcept('&#');
const KEY = setExcept('/?#&,;=');
const HEX = setOf((character) => /[0-9A-F]/.test(character));
/** The first digit of a byte that begins a character of UTF-8, and of one that goes on with it. */
const LEADING = setOf((character) => /[0-7C-F]/.test(character));
const CONTINUING = setOf((character) => /[89AB]/.test(character));

export function compileTemplate(parts: readonly TemplatePart[]): readonly Instruction[] {
  const program = new Program();
  let variables = 0;
  for (const part of parts) {
    if (part.kind === 'literal') program.literal(part.text);
    else {
      program.position = part.position;
      expression(
        program,
        part.operator,
        part.variables.map((variable) => ({ ...variable, index: variables++ })),
      );
    }
  }
  program.add({ kind: 'match' });
  return program.instructions;
}

function expression(program: Program, operator: Operator, variables: readonly Named[]): void {
  switch (operator) {
    case '':
      return list(program, variables, ',', (variable) => value(program, variable, SIMPLE));
    case '+':
      return list(program, variables, ',', (variable) => value(program, variable, variable.explode ? NO_COMMA : ANY));
    case '#':
      return program.optional(() => {
        program.literal('#');
        list(program, variables, ',', (variable) => value(program, variable, variable.explode ? NO_COMMA : ANY));
      });
    case '.':
      return steps(program, variables, '.', variables.length === 1 && variables[0]?.explode === false ? SIMPLE : LABEL);
    case '/':
      return steps(program, variables, '/', SIMPLE);
    case ';':
      return program.repeat(() => {
        program.literal(';');
        pair(program, variables, KEY, true);
      });
    case '&':
      return program.repeat(() => {
        program.literal('&');
        pair(program, variables, QUERY, false);
      });
    case '?':
      return program.optional(() => {
        program.literal('?');
        pair(program, variables, QUERY, false);
        program.repeat(() => {
          program.literal('&');
          pair(program, variables, QUERY, false);
        });
      });
  }
}

/** `{a,b}`: every one of them, at least one character each. */
function list(program: Program, variables: readonly Named[], separator: string, one: (variable: Named) => void): void {
  for (const [position, variable] of variables.entries()) {
    if (position > 0) program.literal(separator);
    one(variable);
    if (variable.explode)
      program.repeat(() => {
        program.literal(separator);
        one(variable);
      });
  }
}

/** `{/a,b}`: those that have no value are left out, from the last on. */
function steps(program: Program, [variable, ...rest]: readonly Named[], separator: string, set: Uint8Array): void {
  if (variable === undefined) return;
  const step: Emit = () => {
    program.literal(separator);
    value(program, variable, set);
  };
  program.optional(() => {
    step();
    if (variable.explode) program.repeat(step);
    steps(program, rest, separator, set);
  });
}

/** `name=value` of one of them; of an exploded one any name. */
function pair(program: Program, variables: readonly Named[], set: Uint8Array, bareName: boolean): void {
  const ways: Emit[] = variables.map((variable) => () => {
    program.literal(normalizeUri(variable.name));
    const assigned: Emit = () => {
      program.literal('=');
      value(program, variable, set, 0);
    };
    if (!bareName) return assigned();
    return program.either(assigned, () => {
      program.add({ kind: 'start' });
      program.add({ kind: 'end', variable: variable.index });
    });
  });
  for (const variable of variables) {
    if (variable.explode)
      ways.push(() => {
        program.add({ kind: 'start' });
        program.set(KEY);
        program.repeat(() => program.set(KEY));
        program.literal('=');
        program.repeat(() => program.set(set));
        program.add({ kind: 'end', variable: variable.index });
      });
  }
  program.oneOf(ways);
}

function value(program: Program, { index, maxCharacters }: Named, set: Uint8Array, least: 0 | 1 = 1): void {
  program.add({ kind: 'start' });
  if (maxCharacters === null) {
    if (least === 1) program.set(set);
    program.repeat(() => program.set(set));
  } else {
    if (least === 1) character(program, set);
    upTo(program, maxCharacters - least, () => character(program, set));
  }
  program.add({ kind: 'end', variable: index });
}

/** One character of the value as it was before it was encoded. */
function character(program: Program, set: Uint8Array): void {
  const plain = set.slice();
  plain[37] = 0;
  program.either(
    () => program.set(plain),
    () => {
      byte(program, LEADING);
      program.repeat(() => byte(program, CONTINUING));
    },
  );
}

function byte(program: Program, firstDigit: Uint8Array): void {
  program.literal('%');
  program.set(firstDigit);
  program.set(HEX);
}

/** In a row and not one in the other: a length of 9999 must not be a depth. */
function upTo(program: Program, times: number, body: Emit): void {
  const exits: { second: number }[] = [];
  for (let time = 0; time < times; time++) {
    exits.push(program.split());
    body();
  }
  for (const exit of exits) exit.second = program.length;
}
