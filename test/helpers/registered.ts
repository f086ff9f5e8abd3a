/** Tools that a test defines over REST, marked so that none of their processes outlives it. */

import type { Answer, RunningDaemon } from './daemon.ts';
import { fixtureCommand, newMarker, type TestScope } from './fixture.ts';
import { killSurvivors } from './survivors.ts';
import { patience } from './wait-for.ts';

export interface Registered {
  readonly name: string;
  readonly path: string;
  readonly marker: string;
}

/** Defines a tool that runs a fixture; `args` of the rest are the fixture's. @throws when it is refused */
export async function register(
  t: TestScope,
  daemon: RunningDaemon,
  name: string,
  fixture: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Registered> {
  const marker = newMarker();
  t.teardown(() => killSurvivors(marker));
  const { args = [], ...rest } = more;
  const answer = await define(daemon, name, fixture, args as readonly string[], marker, rest);
  if (answer.status !== 201) throw new Error(answer.text);
  return { name, path: `/v1/tools/${encodeURIComponent(name)}`, marker };
}

export function define(
  daemon: RunningDaemon,
  name: string,
  fixture: string,
  args: readonly string[],
  marker: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Answer> {
  const [command, ...words] = fixtureCommand(fixture, args);
  return daemon.call('POST', '/v1/tools', {
    name,
    command,
    args: words,
    env: { FIXTURE_MARKER: marker, FIXTURE_LIFE_MS: String(patience(60_000)) },
    ...more,
  });
}
