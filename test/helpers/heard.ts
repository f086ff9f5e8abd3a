/** What a program says on its stdout, kept line by line, so that a word can be waited for before or after it was said. */

import type { Readable } from 'node:stream';
import { patience } from './wait-for.ts';

export interface Heard {
  /**
   * The JSON after the first line that starts with the word (`ready {"pid":7}`); what is no JSON object becomes
   * `{ text }`. Rejects when the stream ends without it, or after the time (default 20,000 ms, patience() applied).
   */
  said(word: string, timeoutMs?: number): Promise<Readonly<Record<string, unknown>>>;
  /** All complete lines so far. */
  lines(): readonly string[];
}

/** @param name of the speaker, for messages */
export function listen(stdout: Readable, name: string): Heard {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let rest = '';
  let closed = false;
  const wake = (): void => waiting.forEach((look) => look());
  stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = `${rest}${chunk}`.split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    wake();
  });
  stdout.once('close', () => {
    closed = true;
    wake();
  });

  const said = (word: string, timeoutMs = 20_000): Promise<Readonly<Record<string, unknown>>> =>
    new Promise((resolve, reject) => {
      const stop = (): void => {
        waiting.delete(look);
        clearTimeout(timer);
      };
      const fail = (why: string): void => {
        stop();
        reject(new Error(`${name} did not say "${word}": ${why}; it said: ${lines.slice(-20).join(' | ')}`));
      };
      const look = (): void => {
        const line = lines.find((candidate) => candidate === word || candidate.startsWith(`${word} `));
        if (line !== undefined) {
          stop();
          resolve(parse(line.slice(word.length + 1)));
        } else if (closed) fail('its stdout ended');
      };
      const timer = setTimeout(() => fail(`waited ${patience(timeoutMs)} ms`), patience(timeoutMs));
      waiting.add(look);
      look();
    });
  return { said, lines: () => lines };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  return text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text };
}
