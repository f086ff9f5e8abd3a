/**
 * URI patterns with something that goes with each, such as how long to keep: the first that matches wins.
 *
 * Own, and no library: what npm has (uri-templates, uri-template-lite, the SDK's UriTemplate.match) matches by regular
 * expressions that go back, or guesses; url-template, std-uritemplate and others only expand.
 */

import { UriTemplate } from './uri-template.ts';
import type { UriParameters } from './uri-template.ts';
import { normalizeUri } from './uri-text.ts';

export interface UriMatch<T> {
  readonly template: string;
  readonly parameters: UriParameters;
  readonly value: T;
}

export class UriPatterns<T> {
  readonly #rules: { readonly template: UriTemplate; readonly value: T }[] = [];

  /** @throws GovernorError invalid_request for a template that is none, with the position */
  constructor(rules: Iterable<readonly [template: string, value: T]> = []) {
    for (const [template, value] of rules) this.add(template, value);
  }

  get size(): number {
    return this.#rules.length;
  }

  /** At the end: what was there before goes first. */
  add(template: string, value: T): void {
    this.#rules.push({ template: UriTemplate.of(template), value });
  }

  match(uri: string): UriMatch<T> | null {
    if (this.#rules.length === 0) return null;
    const normalized = normalizeUri(uri);
    for (const { template, value } of this.#rules) {
      const parameters = template.matchNormalized(normalized);
      if (parameters !== null) return { template: template.text, parameters, value };
    }
    return null;
  }
}
