/** Starts a fixture behind a gate: a shell waits, is put into its containment, and only then becomes the program. */

import { type ChildProcess, spawn } from 'node:child_process';

import type { ProcessIdentity } from '../../lib/core/identity.ts';
import { fixtureCommand, fixtureEnvironment, newMarker, type TestScope } from './fixture.ts';
import { identityOf, killSurvivors } from './survivors.ts';
import { waitFor } from './wait-for.ts';

export interface Gated {
  readonly child: ChildProcess;
  readonly identity: ProcessIdentity;
  readonly marker: string;
  /** Lets the program begin. */
  go(): void;
  /** Waits for a line of stdout that starts with the word. */
  said(word: string): Promise<string>;
  readonly ended: Promise<NodeJS.Signals | number | null>;
}

export interface GatedOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly lifeMs?: number;
}

export function startGated(t: TestScope, fixture: string, options: GatedOptions = {}): Gated {
  const marker = newMarker();
  const child = spawn('/bin/sh', ['-c', 'read -r _ && exec "$@"', 'sh', ...fixtureCommand(fixture, options.args)], {
    env: { ...process.env, ...options.env, ...fixtureEnvironment(marker, options.lifeMs) },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.teardown(() => killSurvivors(marker));
  child.stdin.on('error', () => undefined); // The program may end before it was let go.
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const identity = identityOf(child.pid ?? 0);
  if (identity === null) throw new Error(`${fixture} was gone before it could be looked at`);
  return {
    child,
    identity,
    marker,
    go: () => void child.stdin.write('\n'),
    said: (word) => waitFor(`${fixture} to say ${word}`, () => text.split('\n').find((line) => line.startsWith(word))),
    ended: new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code));
    }),
  };
}
