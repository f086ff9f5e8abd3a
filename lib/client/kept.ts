/** What became of a value that was to be kept. */

export interface Kept {
  /** Its JSON. */
  readonly text: string;
  /** Null where it was not looked at, or is no JSON. */
  readonly bytes: number | null;
  readonly stored: boolean;
}

export const NOT_KEPT: Kept = { text: '', bytes: null, stored: false };

/** Null for what JSON cannot hold. */
export function jsonOf(value: unknown): string | null {
  try {
    // Of undefined and functions there is no text, whatever the type says.
    const text: unknown = JSON.stringify(value);
    return typeof text === 'string' ? text : null;
  } catch {
    // A circle, a BigInt, a toJSON that throws.
    return null;
  }
}
