/** Amounts and values as they are shown in messages: exact, and in the notation that limits.yaml takes. */

const SIZES = [
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
] as const;

const DURATIONS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const;

/** 536870912 → `512MiB`. */
export function writeSize(bytes: number): string {
  for (const [unit, factor] of SIZES) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

/** 90000 → `1m30s`. */
export function writeDuration(ms: number): string {
  let rest = ms;
  let text = '';
  for (const [unit, factor] of DURATIONS) {
    const count = Math.floor(rest / factor);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * factor;
  }
  return text === '' ? '0ms' : text;
}

/** 0.7 * 100 → `70`: without what floating point adds. */
export function trim(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}

/** As `quote`, without the quotes: for words in a list. */
export function word(raw: PropertyKey): string {
  return quote(String(raw)).slice(1, -1);
}

/** A value as it is shown in a message: short, and with nothing that could move a terminal's cursor. */
export function quote(raw: unknown): string {
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
  const text = JSON.stringify(String(raw)).replace(/[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '?');
  return text.length > 48 ? `${text.slice(0, 44)}…"` : text;
}
