/**
 * Every feature of MCP that must cross Governor, one by one, as the probe server (fixtures/tools/mcp-probe.mjs) sees them from its
 * side and a client of an official SDK from the other.
 */

import type { Test } from 'tap';
import type { Document, Peer } from './mcp-peer.ts';
import { waitFor } from './wait-for.ts';

/** What this file needs of a tap test. */
type Assert = Pick<Test, 'same' | 'match' | 'equal' | 'not' | 'ok'>;

/** How the probe is reached. */
export interface Way {
  /** A name of the probe's as the client sees it: `probe__echo` where tools are merged. */
  named(name: string): string;
  readonly sharing: 'shared' | 'context';
  readonly merged: boolean;
}

export interface Feature {
  readonly name: string;
  /** 2026-07-28 has no such thing: sessions' pings, levels and roots changes. */
  readonly legacyOnly?: true;
  run(peer: Peer, way: Way, t: Assert): Promise<void>;
}

const LEVEL = 'io.modelcontextprotocol/logLevel';
const MEGABYTES_2 = 2 * 1024 * 1024;
const text = ({ content }: Document): string => content[0].text;

export async function seen(peer: Peer, way: Way): Promise<Document> {
  return JSON.parse(text(await peer.call(way.named('seen'))));
}

async function refused(request: Promise<unknown>): Promise<Document> {
  return request.then(
    () => ({ code: 'no error' }),
    (error: unknown) => error,
  );
}

export const FEATURES: readonly Feature[] = [
  {
    name: 'what the server says of itself',
    async run(peer, way, t) {
      t.equal(peer.protocolVersion ?? '2025-11-25', peer.modern ? '2026-07-28' : '2025-11-25');
      t.match(peer.capabilities, { tools: {}, resources: {}, prompts: {}, completions: {} });
      if (way.merged) return;
      t.match(peer.server, { name: 'mcp-probe', version: '1.0.0', title: 'Probe' });
      t.equal(peer.instructions, 'Ask it what it has seen.');
      t.same(peer.capabilities.experimental, { probe: { kept: true } });
    },
  },
  { name: 'ping', legacyOnly: true, run: async (peer, _way, t) => void t.same(await peer.request('ping'), {}) },
  {
    name: 'list of tools, with schemas, all its pages',
    async run(peer, way, t) {
      const { entries } = await peer.list('tools/list', 'tools');
      const names = entries.map(({ name }) => name);
      for (const name of ['echo', 'structured', 'seen']) t.ok(names.includes(way.named(name)), name);
      t.match(
        entries.find(({ name }) => name === way.named('structured')),
        { description: 'Probe: structured', inputSchema: { type: 'object' }, outputSchema: { required: ['sum'] } },
      );
    },
  },
  ...(['text', 'image', 'audio', 'resource', 'resource_link'] as const).map((type, index) => ({
    name: `content: ${type}`,
    async run(peer: Peer, way: Way, t: Assert) {
      const { content } = await peer.call(way.named('content'));
      const wanted = [
        { type: 'text', text: 'words', annotations: { audience: ['user'], priority: 0.5 } },
        { type: 'image', mimeType: 'image/png', data: /^iVBOR/ },
        { type: 'audio', mimeType: 'audio/wav', data: 'UklGRiYAAABXQVZF' },
        { type: 'resource', resource: { mimeType: 'text/plain', text: 'a note' } },
        { type: 'resource_link', name: /note$/ },
      ];
      t.match(content[index], wanted[index]);
    },
  })),
  {
    name: 'structured content',
    run: async (peer, way, t) =>
      void t.same((await peer.call(way.named('structured'), { a: 2, b: 3 })).structuredContent, { sum: 5 }),
  },
  {
    name: 'an error of the tool',
    run: async (peer, way, t) =>
      void t.match(await peer.call(way.named('tool_error')), { isError: true, content: [{ text: 'went wrong' }] }),
  },
  {
    name: 'a result of 2 MB',
    run: async (peer, way, t) =>
      void t.equal(text(await peer.call(way.named('big'), { bytes: MEGABYTES_2 })).length, MEGABYTES_2),
  },
  {
    name: 'an argument of 2 MB',
    run: async (peer, way, t) =>
      void t.equal((await peer.call(way.named('big'), { filler: 'y'.repeat(MEGABYTES_2) }))._meta.got, MEGABYTES_2),
  },
  {
    name: '_meta of a request',
    async run(peer, way, t) {
      const meta = { 'probe/asked': { deep: ['ä', null, 1.5] } };
      t.match(JSON.parse(text(await peer.call(way.named('meta'), {}, { meta }))), meta);
    },
  },
  {
    name: '_meta and unknown fields of a result',
    async run(peer, way, t) {
      const result = await peer.request('tools/call', { name: way.named('meta'), arguments: {} });
      t.match(result, { _meta: { 'probe/answer': { deep: [1] } }, 'x-unknown': { a: 1 } });
    },
  },
  {
    name: 'an RPC error with code and data',
    async run(peer, way, t) {
      const error = await refused(peer.call(way.named('fail')));
      t.equal(error.code, 4077);
      t.match(error.message, /Refused by the probe/);
      t.same(error.data, { why: 'asked to', deep: { list: [1, 2] } });
    },
  },
  {
    name: 'list of resources, all its pages, fields whole',
    async run(peer, way, t) {
      const { entries, pages } = await peer.list('resources/list', 'resources');
      const note = entries.find(({ uri }) => uri === 'probe://note');
      t.match(note, {
        name: way.merged ? /note$/ : 'note',
        mimeType: 'text/plain',
        size: 6,
        _meta: { 'probe/kept': true },
      });
      t.ok(
        entries.some(({ uri }) => uri === 'probe://third'),
        'of the second page',
      );
      if (!way.merged) t.ok(pages > 1, `${pages} pages`);
    },
  },
  {
    name: 'list of resource templates, all its pages',
    async run(peer, _way, t) {
      const { entries } = await peer.list('resources/templates/list', 'resourceTemplates');
      const found = entries.map(({ uriTemplate }) => uriTemplate);
      for (const template of ['probe://item/{id}', 'probe://last/{id}']) t.ok(found.includes(template), template);
    },
  },
  {
    name: 'a text resource',
    async run(peer, _way, t) {
      const read = await peer.request('resources/read', { uri: 'probe://note' });
      t.match(read, {
        contents: [{ uri: 'probe://note', mimeType: 'text/plain', text: 'a note' }],
        _meta: { 'probe/kept': true },
      });
    },
  },
  {
    name: 'a binary resource',
    run: async (peer, _way, t) =>
      void t.match(await peer.request('resources/read', { uri: 'probe://pixel' }), {
        contents: [{ mimeType: 'image/png', blob: /^iVBOR/ }],
      }),
  },
  {
    name: 'a resource of a template',
    run: async (peer, _way, t) =>
      void t.match(await peer.request('resources/read', { uri: 'probe://item/7' }), { contents: [{ text: 'item 7' }] }),
  },
  {
    name: 'a resource that is not there',
    async run(peer, _way, t) {
      const error = await refused(peer.request('resources/read', { uri: 'probe://nothing' }));
      // The newer SDK makes the older era's code the newer one's.
      t.equal(error.code, peer.kind === 'sdk-1' ? -32_002 : -32_602);
    },
  },
  {
    name: 'subscribed: updates come; unsubscribed: none, and the server knows',
    async run(peer, way, t) {
      const end = await peer.watch('probe://note');
      await waitFor('the server to have the subscription', async () =>
        (await seen(peer, way)).subscribed.includes('probe://note'),
      );
      await peer.call(way.named('touch'), { uri: 'probe://note' });
      await peer.hears('notifications/resources/updated', ({ uri }) => uri === 'probe://note');
      await end();
      await waitFor('the server to have no subscription', async () => (await seen(peer, way)).subscribed.length === 0);
      const before = peer.heard('notifications/resources/updated').length;
      await peer.call(way.named('touch'), { uri: 'probe://note' });
      await peer.call(way.named('echo'), { value: 'after it' });
      t.equal(peer.heard('notifications/resources/updated').length, before);
    },
  },
  ...(['tools', 'resources', 'prompts'] as const).map((list) => ({
    name: `the list of ${list} changed`,
    async run(peer: Peer, way: Way, t: Assert) {
      if (peer.modern) await peer.watch('probe://pixel');
      await peer.list(`${list}/list`, list);
      const name = text(await peer.call(way.named('change'), { list }));
      await peer.hears(`notifications/${list}/list_changed`);
      const { entries } = await peer.list(`${list}/list`, list);
      t.ok(
        entries.some((entry) => entry.name.endsWith(name)),
        `${name} is in it`,
      );
    },
  })),
  {
    name: 'list of prompts, all its pages',
    async run(peer, way, t) {
      const { entries } = await peer.list('prompts/list', 'prompts');
      t.match(
        entries.find(({ name }) => name === way.named('greet')),
        { description: 'Greets', arguments: [{ name: 'who', required: true }, { name: 'tone' }] },
      );
      t.ok(entries.some(({ name }) => name === way.named('third')));
    },
  },
  {
    name: 'a prompt with arguments',
    run: async (peer, way, t) =>
      void t.match(
        await peer.request('prompts/get', { name: way.named('greet'), arguments: { who: 'Ada', tone: 'Good day' } }),
        { description: 'A greeting', messages: [{ content: { text: 'Good day, Ada' } }], 'x-kept': 1 },
      ),
  },
  {
    name: 'completion',
    async run(peer, way, t) {
      const ref = { type: 'ref/prompt', name: way.named('greet') };
      const argument = { name: 'who', value: 'an' };
      const context = { arguments: { tone: 'Hello' } };
      const result = await peer.request('completion/complete', { ref, argument, context });
      t.same(result.completion.values, ['anna', 'anton']);
      t.match(result._meta, { ref: 'ref/prompt', context });
    },
  },
  {
    name: 'log level, and log lines',
    async run(peer, way, t) {
      if (!peer.modern) await peer.request('logging/setLevel', { level: 'debug' });
      const meta = peer.modern ? { [LEVEL]: 'debug' } : {};
      await peer.call(way.named('log'), { word: peer.kind }, { meta });
      const line = await peer.hears('notifications/message', ({ level }) => level === 'warning');
      t.same(line.data, { word: peer.kind });
      await peer.hears('notifications/message', ({ level }) => level === 'debug');
    },
  },
  {
    name: 'progress',
    async run(peer, way, t) {
      const steps: Document[] = [];
      const key = `progress of ${peer.kind}`;
      // Answered when all its reports have arrived: the SDK drops those that come in one piece with the result.
      const open = peer.call(way.named('progress'), { key }, { onprogress: (step) => steps.push(step) });
      await waitFor('three reports', () => steps.length >= 3);
      await peer.call(way.named('release'), { key });
      t.equal(text(await open), 'released');
      t.match(
        steps,
        [1, 2, 3].map((progress) => ({ progress, total: 3, message: `step ${progress}` })),
      );
    },
  },
  {
    name: 'a cancellation reaches the server',
    async run(peer, way, t) {
      const aborted = new AbortController();
      const key = `wait of ${peer.kind}`;
      let began = false;
      const call = peer.call(way.named('wait'), { key }, { signal: aborted.signal, onprogress: () => (began = true) });
      const ended = refused(call);
      await waitFor('it to begin', () => began);
      aborted.abort(new Error('no longer wanted'));
      t.not(String((await ended).code), 'no error');
      await waitFor('the server to know', async () =>
        (await seen(peer, way)).cancelled.some((each: Document) => each.key === key),
      );
    },
  },
  {
    name: 'sampling',
    async run(peer, way, t) {
      const answer = JSON.parse(text(await peer.call(way.named('sample'), { prompt: 'two words' })));
      t.match(answer, { model: 'probe-model', role: 'assistant', content: { text: /: two words$/ } });
      t.match(peer.asked.find(({ method }) => method === 'sampling/createMessage')?.params, { maxTokens: 10 });
    },
  },
  {
    name: 'elicitation',
    async run(peer, way, t) {
      const answer = JSON.parse(text(await peer.call(way.named('elicit'), { message: 'Who?' })));
      t.match(answer, { action: 'accept', content: { name: /./ } });
      t.match(peer.asked.find(({ method }) => method === 'elicitation/create')?.params, {
        message: 'Who?',
        requestedSchema: { required: ['name'] },
      });
    },
  },
  {
    name: 'roots',
    run: async (peer, way, t) =>
      void t.match(JSON.parse(text(await peer.call(way.named('roots')))), { roots: peer.roots }),
  },
  {
    name: 'the roots changed',
    legacyOnly: true,
    async run(peer, way) {
      const { rootsChanged } = await seen(peer, way);
      await peer.rootsChanged();
      await waitFor('the server to know', async () => (await seen(peer, way)).rootsChanged > rootsChanged);
    },
  },
  {
    name: 'who the client is',
    async run(peer, way, t) {
      const { clientInfo, capabilities, initialized } = await seen(peer, way);
      t.equal(initialized, 1);
      if (way.sharing === 'shared') t.match(clientInfo, { name: 'governor' }, 'the server is not one client’s');
      else t.match(clientInfo, { name: /features/, version: '1.2.3' });
      t.match(capabilities, { sampling: {}, elicitation: {}, roots: {} });
    },
  },
  {
    name: 'methods and notifications that nobody knows',
    async run(peer, way, t) {
      if (way.merged) return;
      t.match(await peer.request('probe/custom', { a: [1, { b: 'c' }] }), { custom: { a: [1, { b: 'c' }] } });
      await peer.notify('notifications/probe', { word: peer.kind });
      await waitFor('the server to have it', async () =>
        (await seen(peer, way)).notifications.some((each: Document) => each.params.word === peer.kind),
      );
    },
  },
];
