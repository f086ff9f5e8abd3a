/** Daemons whose tools are the fixture mcp-slow, and what official clients hear of them. */

import type { Test } from 'tap';
import { addressOf, type RunningDaemon } from './daemon.ts';
import { fixtureCommand } from './fixture.ts';
import { connectPeer, type Document, type Peer, type PeerKind } from './mcp-peer.ts';

/** @param runtime in the notation of limits.yaml */
export function slow(runtime: unknown, more: object = {}): Readonly<Record<string, unknown>> {
  const [command, ...args] = fixtureCommand('mcp-slow', []);
  return { command, args, class: 'light', autostart: false, limits: { runtime }, ...more };
}

export function ms(amount: number): string {
  return `${amount}ms`;
}

export function slowPeer(
  t: Test,
  daemon: RunningDaemon,
  tool: string,
  kind: PeerKind = 'sdk-2',
  name = 'one',
): Promise<Peer> {
  const { url, token } = addressOf(daemon);
  return connectPeer(t, { kind, name, to: { url: `${url}/mcp/${tool}`, token } });
}

/** The error of a call; of one that has none, its result as `answered`. */
export function failure(call: Promise<Document>): Promise<Document> {
  return call.then(
    (result: Document) => ({ answered: result }),
    (error: unknown) => error,
  );
}

/** What the tool `seen` or the client's answer says, as JSON. */
export function parsed(result: Document): Document {
  return JSON.parse(result.content[0].text);
}

export async function usageOf(daemon: RunningDaemon, tool: string, resource: string): Promise<Document> {
  const { json } = await daemon.call('GET', `/v1/tools/${tool}/usage`);
  return json.resources.find((each: Document) => each.resource === resource);
}

/** Of its first live run. */
export async function pidOf(daemon: RunningDaemon, tool: string): Promise<number | undefined> {
  return (await daemon.call('GET', `/v1/tools/${tool}`)).json.runs[0]?.pid;
}
