/** Finds secrets that show by their own form, whatever stands before them. */

import type { Span } from './mask-span.ts';

/** Prefixes by which issuers mark their tokens (GitHub, GitLab, Slack, OpenAI, Anthropic, AWS, Google, Stripe, npm, …). */
const KNOWN =
  /(?<![A-Za-z0-9])(?:sk-|sk_live_|sk_test_|rk_live_|pk_live_|gh[opusr]_|github_pat_|glpat-|xox[a-z]-|xapp-|AKIA|ASIA|AIza|ya29\.|eyJ|hf_|npm_|pypi-|SG\.|dop_v1_|shpat_|lin_api_|secret_|AGE-SECRET-KEY-)([\w.~+-]{6,})/g;
const SCHEME = /(?<![A-Za-z0-9])(?:bearer|basic)\s{1,8}([\w.~+/=-]{8,})/gi;

export function findKnownTokens(text: string): Span[] {
  const tokens = [...text.matchAll(KNOWN)]
    .filter(([, rest = '']) => /\d/.test(rest) || (rest.length >= 20 && /[A-Z]/.test(rest)))
    .map((match) => spanOf(match.index, match[0].length));
  const schemes = [...text.matchAll(SCHEME)]
    .filter(([, value = '']) => value.length >= 20 || /[\d=]/.test(value))
    .map((match) => spanOf(match.index + match[0].length - (match[1] ?? '').length, (match[1] ?? '').length));
  return withoutOverlap([...tokens, ...schemes]);
}

/** Long runs that look random: mixed letters and digits, or hexadecimal. UUIDs and digests after `sha256:` are names. */
export function findLongTokens(text: string): Span[] {
  return [...text.matchAll(/[\w+-]{32,}={0,2}/g)]
    .filter(
      (match) =>
        looksRandom(match[0]) && !/sha\d{1,3}[:-]$/.test(text.slice(Math.max(0, match.index - 8), match.index)),
    )
    .map((match) => spanOf(match.index, match[0].length));
}

export function findPrivateKeyBlocks(text: string): Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (let begin = text.indexOf('-----BEGIN ', from); begin !== -1; begin = text.indexOf('-----BEGIN ', from)) {
    const isPrivate = text.slice(begin, begin + 64).includes('PRIVATE KEY');
    if (!isPrivate) {
      from = begin + 11;
      continue;
    }
    const end = text.indexOf('-----END ', begin);
    const close = end === -1 ? -1 : text.indexOf('-----', end + 9);
    from = close === -1 ? text.length : close + 5;
    spans.push({ start: begin, end: from });
  }
  return spans;
}

function looksRandom(run: string): boolean {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(run)) return false;
  if (/^(?=.*[a-f])(?=.*\d)[0-9a-f]+$/i.test(run)) return true;
  const digits = run.replaceAll(/\D/g, '').length;
  return digits >= 2 && /[a-z]/.test(run) && /[A-Z]/.test(run) && bitsPerUnit(run) >= 3.8;
}

/** Shannon entropy of the distribution of characters. */
function bitsPerUnit(run: string): number {
  const counts = new Map<string, number>();
  for (const unit of run) counts.set(unit, (counts.get(unit) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / run.length) * Math.log2(count / run.length);
  return bits;
}

function spanOf(start: number, length: number): Span {
  return { start, end: start + length };
}

function withoutOverlap(spans: readonly Span[]): Span[] {
  const kept: Span[] = [];
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    const last = kept.at(-1);
    if (last !== undefined && span.start < last.end)
      kept[kept.length - 1] = { start: last.start, end: Math.max(last.end, span.end) };
    else kept.push(span);
  }
  return kept;
}
