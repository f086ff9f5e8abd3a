/** The reference servers from npm through a real daemon: what they offer crosses whole, shared and private, in both eras. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { addressOf, startDaemon } from '../helpers/daemon.ts';
import { connectPeer, type Document, type Peer, PEER_KINDS } from '../helpers/mcp-peer.ts';
import { server, serversMissing } from '../helpers/npm-servers.ts';
import { temporaryDirectory } from '../helpers/temp-directory.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const skip = serversMissing('everything', 'filesystem', 'memory');
const text = ({ content }: Document): string => content[0].text;
const LEVEL = 'io.modelcontextprotocol/logLevel';

t.setTimeout(patience(180_000));

for (const sharing of ['context', 'shared'] as const) {
  t.test(`sharing: ${sharing}`, { skip }, async (t) => {
    const folder = temporaryDirectory(t);
    const daemon = await startDaemon(t, {
      config: {
        tools: {
          everything: { command: process.execPath, args: [server('everything'), 'stdio'], sharing },
          filesystem: { command: process.execPath, args: [server('filesystem'), folder], sharing },
          memory: {
            command: process.execPath,
            args: [server('memory')],
            env: { MEMORY_FILE_PATH: join(folder, 'graph.json') },
            sharing,
          },
        },
      },
    });
    const { url, token } = addressOf(daemon);
    for (const kind of PEER_KINDS) {
      const open = (t: Test, tool: string, root: string): Promise<Peer> =>
        connectPeer(t, {
          kind,
          name: `real-${kind}`,
          to: { url: new URL(`/mcp/${tool}`, url).href, token },
          roots: [{ uri: pathToFileURL(root).href, name: 'root of the client' }],
        });
      t.test(`everything, ${kind}`, async (t) => everything(t, await open(t, 'everything', folder), folder));
      t.test(`filesystem, ${kind}`, async (t) => {
        // Not the folder of its arguments: the roots of the client decide.
        const root = join(folder, `${kind}-root`);
        mkdirSync(root);
        await filesystem(t, await open(t, 'filesystem', root), root);
      });
      t.test(`memory, ${kind}`, async (t) => memory(t, await open(t, 'memory', folder)));
    }
  });
}

async function everything(t: Test, peer: Peer, folder: string): Promise<void> {
  const { entries } = await peer.list('tools/list', 'tools');
  const names = entries.map(({ name }) => name);
  // It offers these three to clients that can do what they need.
  for (const name of ['get-roots-list', 'trigger-elicitation-request', 'trigger-sampling-request'])
    t.ok(names.includes(name), `${name} is offered`);
  t.match(text(await peer.call('echo', { message: 'höre' })), /höre/);
  const roots = text(await peer.call('get-roots-list'));
  t.ok(roots.includes('root of the client') && roots.includes(pathToFileURL(folder).href), roots);
  t.match(text(await peer.call('get-sum', { a: 2, b: 3 })), /5/);
  t.match((await peer.call('get-tiny-image')).content, [{}, { type: 'image', mimeType: 'image/png', data: /.{100}/ }]);
  const annotated = await peer.call('get-annotated-message', { messageType: 'error', includeImage: true });
  t.match(annotated.content, [{ annotations: { priority: 1 } }, { type: 'image', annotations: { priority: 0.5 } }]);
  const links = (await peer.call('get-resource-links', { count: 3 })).content;
  t.equal(links.filter(({ type }: Document) => type === 'resource_link').length, 3);
  const reference = (await peer.call('get-resource-reference', { resourceType: 'Text', resourceId: 1 })).content;
  t.ok(reference.some(({ type, resource }: Document) => type === 'resource' && resource.uri.startsWith('demo://')));
  const weather = await peer.call('get-structured-content', { location: 'Chicago' });
  t.match(weather.structuredContent, { temperature: Number, conditions: String, humidity: Number });

  const steps: Document[] = [];
  const onprogress = (step: Document): void => void steps.push(step);
  await peer.call('trigger-long-running-operation', { duration: 0.4, steps: 4 }, { onprogress });
  t.match(
    steps.slice(0, 3),
    [1, 2, 3].map((progress) => ({ progress, total: 4 })),
    'progress',
  );
  t.match(text(await peer.call('trigger-sampling-request', { prompt: 'two words', maxTokens: 10 })), /two words/);
  const elicited = await peer.call('trigger-elicitation-request');
  t.match(JSON.stringify(elicited.content), /real-sdk/);

  const { entries: resources } = await peer.list('resources/list', 'resources');
  const document = resources.find(({ uri }) => uri.endsWith('architecture.md'));
  const read = await peer.request('resources/read', { uri: document.uri });
  t.ok(read.contents[0].text.length > 100, 'a static resource');
  const templates = (await peer.list('resources/templates/list', 'resourceTemplates')).entries;
  t.ok(templates.some(({ uriTemplate }) => uriTemplate === 'demo://resource/dynamic/text/{resourceId}'));
  t.match(await peer.request('resources/read', { uri: 'demo://resource/dynamic/text/7' }), {
    contents: [{ text: /7/ }],
  });
  t.match(await peer.request('resources/read', { uri: 'demo://resource/dynamic/blob/8' }), {
    contents: [{ blob: /./ }],
  });
  const end = await peer.watch('demo://resource/dynamic/text/7');
  await peer.call('toggle-subscriber-updates');
  await peer.hears('notifications/resources/updated', ({ uri }) => uri === 'demo://resource/dynamic/text/7');
  await peer.call('toggle-subscriber-updates');
  await end();

  t.match(await peer.request('prompts/get', { name: 'args-prompt', arguments: { city: 'Bern' } }), {
    messages: [{ content: { text: /Bern/ } }],
  });
  const ref = { type: 'ref/prompt', name: 'completable-prompt' };
  const completed = await peer.request('completion/complete', { ref, argument: { name: 'department', value: 'E' } });
  t.same(completed.completion.values, ['Engineering']);
  if (!peer.modern) await peer.request('logging/setLevel', { level: 'debug' });
  await peer.call('toggle-simulated-logging', {}, peer.modern ? { meta: { [LEVEL]: 'debug' } } : {});
  await peer.hears('notifications/message');
  await peer.call('toggle-simulated-logging');
}

async function filesystem(t: Test, peer: Peer, root: string): Promise<void> {
  // It asks for the roots by itself, after the handshake.
  await waitFor('the server to have the roots of its client', async () =>
    text(await peer.call('list_allowed_directories')).includes(root),
  );
  const path = join(root, 'note.txt');
  await peer.call('write_file', { path, content: 'eins\nzwei\n' });
  t.equal(readFileSync(path, 'utf8'), 'eins\nzwei\n');
  const read = await peer.call('read_text_file', { path, head: 1 });
  t.equal(text(read), 'eins');
  t.same(read.structuredContent, { content: 'eins' });
  writeFileSync(join(root, 'pixel.png'), Buffer.from('89504e470d0a1a0a', 'hex'));
  t.match((await peer.call('read_media_file', { path: join(root, 'pixel.png') })).content, [
    { type: 'image', mimeType: 'image/png' },
  ]);
  t.match(await peer.call('read_text_file', { path: '/etc/hostname' }), { isError: true }, 'not outside of the roots');
}

async function memory(t: Test, peer: Peer): Promise<void> {
  const name = `Ada of ${peer.kind}`;
  const end = await peer.watch('memory://knowledge-graph');
  const entities = [{ name, entityType: 'person', observations: ['wrote the first program'] }];
  t.match((await peer.call('create_entities', { entities })).structuredContent, { entities: [{ name }] });
  await peer.hears('notifications/resources/updated', ({ uri }) => uri === 'memory://knowledge-graph');
  const found = await peer.call('search_nodes', { query: name });
  t.match(found.structuredContent, { entities: [{ name, observations: ['wrote the first program'] }] });
  const { contents } = await peer.request('resources/read', { uri: 'memory://knowledge-graph' });
  t.match(contents[0].text, new RegExp(name));
  await end();
}
