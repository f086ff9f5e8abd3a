/** Polling for a condition, for tests. Never a substitute for an assertion on time. */

export interface WaitOptions {
  /** Deadline in milliseconds on a plain machine; patience() is applied to it. Default 10,000. */
  readonly timeoutMs?: number;
  /** Pause between two looks. Default 20 ms. */
  readonly everyMs?: number;
}

type Falsy = false | null | undefined | 0 | '';

/**
 * Looks until the probe answers with something truthy. A probe that throws counts as "not yet".
 * @param what completes the sentence "waited for …"
 * @returns the probe's answer
 * @throws when the deadline passed, with the last answer or error
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, Falsy>> {
  const timeoutMs = patience(options.timeoutMs ?? 10_000);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look(probe);
    if (seen.found) return seen.value as Exclude<T, Falsy>;
    if (performance.now() >= deadline) throw new Error(`waited ${timeoutMs} ms for ${what}; last: ${seen.described}`);
    await pause(options.everyMs ?? 20);
  }
}

/** A deadline as it holds on this machine: GOVERNOR_TEST_PATIENCE times longer (emulated guests set it). */
export function patience(ms: number): number {
  const factor = Number(process.env['GOVERNOR_TEST_PATIENCE'] ?? 1);
  return ms * (Number.isFinite(factor) && factor > 0 ? factor : 1);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

interface Seen {
  readonly found: boolean;
  readonly value?: unknown;
  readonly described: string;
}

async function look(probe: () => unknown): Promise<Seen> {
  try {
    const value = await probe();
    return { found: Boolean(value), value, described: describe(value) };
  } catch (error) {
    return { found: false, described: error instanceof Error ? error.message : String(error) };
  }
}

function describe(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text === undefined ? String(value) : text.slice(0, 500);
}
