/** URI templates of RFC 6570, all four levels, as MCP writes resource templates: text into parts, or what is wrong and where. */

import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import { normalizeUri } from './uri-text.ts';

/** MCP's own templates have some tens of characters; matching takes at most this many steps for each of a URI's. */
export const MAX_TEMPLATE_CHARACTERS = 512;
export const MAX_TEMPLATE_VARIABLES = 32;

export type Operator = '' | '+' | '#' | '.' | '/' | ';' | '?' | '&';

export interface Variable {
  readonly name: string;
  /** `{list*}`: its values one by one. */
  readonly explode: boolean;
  /** `{name:3}`: of the first so many characters. */
  readonly maxCharacters: number | null;
}

export type TemplatePart =
  | { readonly kind: 'literal'; readonly text: string }
  | {
      readonly kind: 'expression';
      readonly operator: Operator;
      readonly variables: readonly Variable[];
      readonly position: number;
    };

export interface TemplateProblem {
  readonly message: string;
  /** Of the first character that is wrong; the first of all is 1. */
  readonly position: number;
}

const OPERATORS = '+#./;?&';
/** RFC 6570, 2.2: kept for extensions. */
const RESERVED_OPERATORS = '=,!@|';
const NAME = /^(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+(?:\.(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})+)*$/;
/** RFC 6570, 2.1, as corrected by its erratum 6937 (an apostrophe is allowed). */
const NOT_LITERAL = /[\0- "<>\\^`{|}\u007F-\u009F]|%(?![0-9A-Fa-f]{2})/;

export function parseTemplate(text: string): Result<readonly TemplatePart[], TemplateProblem> {
  if (text === '') return problem('it is empty', 0);
  if (text.length > MAX_TEMPLATE_CHARACTERS)
    return problem(`it has more than ${MAX_TEMPLATE_CHARACTERS} characters`, MAX_TEMPLATE_CHARACTERS);
  const parts: TemplatePart[] = [];
  const names = new Set<string>();
  for (let at = 0; at < text.length;) {
    if (text[at] !== '{') {
      const open = text.indexOf('{', at);
      const literal = text.slice(at, open === -1 ? text.length : open);
      const wrong = NOT_LITERAL.exec(literal);
      if (wrong !== null) return problem(whyNotLiteral(wrong[0]), at + wrong.index);
      parts.push({ kind: 'literal', text: normalizeUri(literal) });
      at += literal.length;
      continue;
    }
    const close = text.indexOf('}', at);
    if (close === -1) return problem('this { is not closed', at);
    const expression = parseExpression(text.slice(at + 1, close), at + 1, names);
    if (!expression.ok) return expression;
    parts.push(expression.value);
    at = close + 1;
  }
  return ok(parts);
}

function parseExpression(
  text: string,
  at: number,
  names: Set<string>,
): Result<Extract<TemplatePart, { kind: 'expression' }>, TemplateProblem> {
  const first = text[0] ?? '';
  if (text === '') return problem('an expression without a variable', at);
  if (RESERVED_OPERATORS.includes(first)) return problem(`the operator ${first} is reserved by RFC 6570`, at);
  const operator = (OPERATORS.includes(first) ? first : '') as Operator;
  const variables: Variable[] = [];
  let start = operator.length;
  for (const spec of text.slice(start).split(',')) {
    const variable = parseVariable(spec, at + start);
    if (!variable.ok) return variable;
    if (names.has(variable.value.name)) return problem(`the variable ${variable.value.name} comes twice`, at + start);
    if (names.size === MAX_TEMPLATE_VARIABLES)
      return problem(`more than ${MAX_TEMPLATE_VARIABLES} variables`, at + start);
    names.add(variable.value.name);
    variables.push(variable.value);
    start += spec.length + 1;
  }
  return ok({ kind: 'expression', operator, variables, position: at });
}

function parseVariable(spec: string, at: number): Result<Variable, TemplateProblem> {
  const explode = spec.endsWith('*');
  const colon = spec.indexOf(':');
  const name = colon === -1 ? spec.slice(0, explode ? -1 : undefined) : spec.slice(0, colon);
  if (name === '') return problem('a variable without a name', at);
  if (!NAME.test(name)) return problem(`${JSON.stringify(name)} is no name of a variable`, at);
  if (colon === -1) return ok({ name, explode, maxCharacters: null });
  const length = spec.slice(colon + 1);
  if (explode) return problem('a variable has a length or a *, not both', at + colon);
  if (!/^[1-9]\d{0,3}$/.test(length)) return problem('a length is a number from 1 to 9999', at + colon + 1);
  return ok({ name, explode, maxCharacters: Number(length) });
}

function whyNotLiteral(character: string): string {
  if (character === '%') return 'a % that two hexadecimal digits must follow';
  if (character === '}') return 'this } closes nothing';
  return `${JSON.stringify(character)} cannot stand in a URI`;
}

/** @param at counted from 0 */
function problem(message: string, at: number): { readonly ok: false; readonly error: TemplateProblem } {
  return err({ message, position: at + 1 });
}
