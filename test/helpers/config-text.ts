/** limits.yaml from an object, for tests that start a daemon. */

import { stringify } from 'yaml';

export interface ConfigDocument {
  readonly daemon?: Readonly<Record<string, unknown>>;
  readonly classes?: Readonly<Record<string, unknown>>;
  readonly contexts?: Readonly<Record<string, unknown>>;
  readonly tools?: Readonly<Record<string, unknown>>;
}

export function formatConfig(document: ConfigDocument & { readonly version?: number }): string {
  return stringify({ version: 1, ...document });
}
