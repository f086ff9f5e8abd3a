/** URI templates (RFC 6570) read backwards: which parameters would have made this URI. */

import { GovernorError } from './errors.ts';
import { err, ok } from './result.ts';
import type { Result } from './result.ts';
import { runProgram } from './uri-machine.ts';
import { ProgramTooLong } from './uri-program.ts';
import type { Instruction } from './uri-program.ts';
import { compileTemplate } from './uri-template-compile.ts';
import { parseTemplate } from './uri-template-parse.ts';
import type { TemplatePart, TemplateProblem, Variable } from './uri-template-parse.ts';
import { decodeUriText, normalizeUri } from './uri-text.ts';

/**
 * By name, decoded; of exploded variables (`{/path*}`) the list of their values. Of `{?any*}` it is what is not called
 * `any` as `name=value`. What is not in the URI is not in here. Without a prototype, so that no name is special.
 */
export type UriParameters = Readonly<Record<string, string | readonly string[]>>;

export class UriTemplate {
  readonly text: string;
  readonly #variables: readonly Variable[];
  readonly #program: readonly Instruction[];
  /** Most URIs are told from most templates by how they begin or end. */
  readonly #prefix: string;
  readonly #suffix: string;

  private constructor(text: string, parts: readonly TemplatePart[], program: readonly Instruction[]) {
    this.text = text;
    this.#program = program;
    this.#variables = parts.flatMap((part) => (part.kind === 'expression' ? part.variables : []));
    const [first, last] = [parts[0], parts.at(-1)];
    this.#prefix = first?.kind === 'literal' ? first.text : '';
    this.#suffix = last?.kind === 'literal' ? last.text : '';
  }

  static parse(text: string): Result<UriTemplate, TemplateProblem> {
    const parts = parseTemplate(text);
    if (!parts.ok) return parts;
    try {
      return ok(new UriTemplate(text, parts.value, compileTemplate(parts.value)));
    } catch (error) {
      if (error instanceof ProgramTooLong) return err({ message: error.message, position: error.position });
      throw error;
    }
  }

  /** @throws GovernorError invalid_request with `data.position`, counted from 1 */
  static of(text: string): UriTemplate {
    const parsed = UriTemplate.parse(text);
    if (parsed.ok) return parsed.value;
    const { message, position } = parsed.error;
    const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
    throw new GovernorError('invalid_request', `the URI template ${shown}, character ${position}: ${message}`, {
      data: { position },
    });
  }

  get variables(): readonly string[] {
    return this.#variables.map(({ name }) => name);
  }

  /** The whole URI must match. Where more than one reading is possible, earlier variables take as much as they can. */
  match(uri: string): UriParameters | null {
    return this.matchNormalized(normalizeUri(uri));
  }

  /** For many templates against one URI. @param uri as `normalizeUri` gives it */
  matchNormalized(uri: string): UriParameters | null {
    if (!uri.startsWith(this.#prefix) || !uri.endsWith(this.#suffix)) return null;
    const captures = runProgram(this.#program, uri, this.#prefix.length);
    if (captures === null) return null;
    const parameters = Object.create(null) as Record<string, string | string[]>;
    for (const { variable, text } of captures) {
      const { name, explode } = this.#variables[variable] as Variable;
      const value = decodeUriText(text);
      if (!explode) parameters[name] ??= value;
      else ((parameters[name] ??= []) as string[]).push(value);
    }
    return parameters;
  }
}
