/** What holds for one tool as it is defined now, made ready for each request. */

import { UriPatterns } from '../../core/uri-patterns.ts';
import type { UriMatch } from '../../core/uri-patterns.ts';
import type { CachePattern, ToolDefinition } from '../../supervisor/governor.ts';
import { digest, serverHash } from '../pool/identity.ts';

export class ToolRules {
  readonly definition: ToolDefinition;
  /** Of the server and of these rules: another daemon has what is kept in common where it has the same. */
  readonly identity: string;
  readonly isOff: boolean;
  readonly ttlMs: number | null;
  /** Some pattern lets all callers have what one has read. */
  readonly hasPublic: boolean;
  /** Some pattern gives no time of its own. */
  readonly usesDefaultTtl: boolean;
  readonly #patterns: UriPatterns<CachePattern>;

  /** @throws GovernorError invalid_request for a template that is none: a definition that was checked has none such */
  constructor(definition: ToolDefinition) {
    const { cache } = definition;
    const rules = cache === undefined || cache === 'off' ? { ttlMs: null, patterns: [] } : cache;
    this.definition = definition;
    this.identity = digest([serverHash(definition), cache ?? null]);
    this.isOff = cache === 'off';
    this.ttlMs = rules.ttlMs;
    this.hasPublic = rules.patterns.some(({ scope }) => scope === 'public');
    this.usesDefaultTtl = rules.patterns.some(({ ttlMs }) => ttlMs === null);
    this.#patterns = new UriPatterns(rules.patterns.map((pattern) => [pattern.uri, pattern]));
  }

  /** What was kept by the one may be served by the other. */
  sameAs(other: ToolRules): boolean {
    return this.identity === other.identity && this.definition.sharing === other.definition.sharing;
  }

  match(uri: string): UriMatch<CachePattern> | null {
    return this.#patterns.match(uri);
  }
}
