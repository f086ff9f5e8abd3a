import t from 'tap';
import { decodeCursor, encodeCursor } from '../../../../lib/mcp/router/cursor.ts';
import { mergeHints, mergeInstructions, union, viewCapabilities } from '../../../../lib/mcp/router/merge.ts';
import { MergedNames, isMadeUp } from '../../../../lib/mcp/router/names.ts';
import { Patience } from '../../../../lib/mcp/router/patience.ts';
import { qualifiedUri, readQualifiedUri, schemeOf } from '../../../../lib/mcp/router/qualified-uri.ts';
import { ResourceIndex } from '../../../../lib/mcp/router/resource-index.ts';
import { isGovernorError } from '../../../helpers/governor-error.ts';

t.test('names', (t) => {
  const servers = ['files', 'a', 'a__b', 'end_', '_start', 'my tool', 'Wörter "x"', 'with-dash', 'a.b'];
  const names = new MergedNames(servers, '__');
  t.equal(names.joinTool('files', 'read'), 'files__read');
  t.strictSame(names.find('a__b__c'), { server: 'a', rest: 'b__c' }, 'the first separator ends the name of the server');
  const seen = new Set<string>();
  for (const server of servers)
    for (const tool of ['c', 'b__c', '_c', '__c', 'x.y-z', 'c'.repeat(40)]) {
      const joined = names.joinTool(server, tool);
      t.match(joined, /^[A-Za-z0-9_.-]{1,128}$/);
      t.strictSame(names.find(joined), { server, rest: tool }, `${server} ${tool}: ${joined}`);
      t.notOk(seen.has(joined), 'no two have one name');
      seen.add(joined);
    }
  t.equal(names.find('files'), undefined);
  t.equal(names.find('nobody__x'), undefined);
  t.equal(names.find('__x'), undefined);
  t.equal(new MergedNames(['my tool'], '__').partOf('my tool'), names.partOf('my tool'), 'whoever else there is');
  t.equal(new MergedNames([...servers].reverse(), '__').partOf('a__b'), names.partOf('a__b'), 'in whatever order');
  const [odd, long] = [names.joinTool('files', 'read a/b'), names.joinTool('files', 'x'.repeat(200))];
  for (const made of [odd, long]) {
    t.match(made, /^[A-Za-z0-9_.-]{1,128}$/);
    t.ok(isMadeUp(names.find(made)!.rest));
  }
  t.not(names.joinTool('files', 'read a/c').slice(-9), odd.slice(-9));
  t.equal(names.join('files', 'any prompt/ü'), 'files__any prompt/ü');
  t.end();
});

t.test('separators', (t) => {
  for (const separator of ['__', '_', '-', '.', '._-', '--', '___']) {
    const names = new MergedNames(['a', 'a_b', 'a-b', 'a.b', 'a__b', 'a--', 'q w'], separator);
    for (const server of names.servers) {
      const joined = names.joinTool(server, 'c_d-e.f');
      t.strictSame(names.find(joined), { server, rest: 'c_d-e.f' }, `${separator}: ${joined}`);
    }
  }
  for (const separator of ['', '/', 'x', '_________'])
    t.throws(() => new MergedNames([], separator), isGovernorError('invalid_config'));
  t.end();
});

t.test('a made-up part takes no name that a server has', (t) => {
  const made = new MergedNames(['my tool'], '__').partOf('my tool')!;
  const names = new MergedNames(['my tool', made], '__');
  t.equal(names.partOf(made), made);
  t.not(names.partOf('my tool'), made);
  t.equal(names.serverOf(names.partOf('my tool')!), 'my tool');
  t.end();
});

t.test('cursors', (t) => {
  for (const cursor of ['next', '', 'ü"\n', null]) {
    const text = encodeCursor('tools/list', { server: 'a', cursor });
    t.match(text, /^[\w-]+$/);
    t.strictSame(decodeCursor('tools/list', text), { server: 'a', cursor });
    t.equal(decodeCursor('prompts/list', text), null, 'of another list');
  }
  for (const wrong of [
    '',
    'x',
    7,
    null,
    undefined,
    Buffer.from('{}').toString('base64url'),
    Buffer.from('[1').toString('base64url'),
  ])
    t.equal(decodeCursor('tools/list', wrong), null);
  t.end();
});

t.test('qualified URIs', (t) => {
  for (const uri of ['file:///a/b?c#d', 'a:b', 'demo://{id}/x', 'governor:x/y:z', '']) {
    const qualified = qualifiedUri('files', uri);
    t.strictSame(readQualifiedUri(qualified), { part: 'files', uri });
    t.ok(URL.canParse(qualified));
  }
  t.equal(readQualifiedUri('governor:files'), null);
  t.equal(readQualifiedUri('file:///governor:a/b'), null);
  t.equal(schemeOf('FILE:///a'), 'file:');
  t.equal(schemeOf('nothing'), '');
  t.end();
});

t.test('capabilities', (t) => {
  t.strictSame(union({ a: { x: false, y: true }, b: 1 }, { a: { x: true, y: false, z: {} }, b: 2, c: {} }), {
    a: { x: true, y: true, z: {} },
    b: 1,
    c: {},
  });
  t.strictSame(viewCapabilities([{ tools: {} }, { resources: { subscribe: true }, experimental: { e: {} } }], true), {
    tools: { listChanged: true },
    logging: {},
    resources: { listChanged: true, subscribe: true },
    experimental: { e: {} },
  });
  t.strictSame(viewCapabilities([], true), { tools: { listChanged: true }, logging: {} });
  t.strictSame(viewCapabilities([{ tools: {} }], false), {
    tools: { listChanged: true },
    logging: {},
    prompts: { listChanged: true },
    resources: { listChanged: true, subscribe: true },
    completions: {},
  });
  t.end();
});

t.test('instructions and hints', (t) => {
  const one = { server: 'a', part: 'a', instructions: ' use a \n' };
  t.equal(mergeInstructions([{ server: 'x', part: 'x', instructions: undefined }], '__'), undefined);
  t.equal(
    mergeInstructions(
      [one, { server: 'q w', part: 'q-w-1', instructions: 'use q' }, { ...one, instructions: ' ' }],
      '__',
    ),
    '# a\n\nuse a\n\n# q w (q-w-1__)\n\nuse q',
  );
  const hints = [
    { ttlMs: 5, cacheScope: 'public' },
    { ttlMs: 9, cacheScope: 'public' },
  ];
  t.strictSame(mergeHints(hints, true), { ttlMs: 5, cacheScope: 'public' });
  t.strictSame(mergeHints(hints, false), { ttlMs: 0, cacheScope: 'public' });
  t.strictSame(mergeHints([...hints, {}], true), { ttlMs: 0, cacheScope: 'private' });
  t.strictSame(mergeHints([], true), { ttlMs: 0, cacheScope: 'private' });
  t.end();
});

t.test('which server has a resource', (t) => {
  const index = new ResourceIndex();
  index.setOrder(['a', 'b', 'c']);
  index.learn('b', [{ uri: 'x:one' }, { uri: 'x:two' }], [{ uriTemplate: 'x:{id}' }, { uriTemplate: 'broken:{' }]);
  index.learn('a', [{ uri: 'x:one' }], [{ uriTemplate: 'y:{id}' }]);
  index.learn('c', [], [{ uriTemplate: 'x:{id}' }, { uriTemplate: 'z:{+rest}' }]);
  t.equal(index.ownerOf('x:one'), 'a', 'the first of the file, not of what was learned');
  t.equal(index.shownUri('a', 'a', 'x:one'), 'x:one');
  t.equal(index.shownUri('b', 'b', 'x:one'), 'governor:b/x:one');
  t.equal(index.shownUri('b', 'b', 'x:new'), 'x:new');
  t.equal(index.shownTemplate('b', 'b', 'x:{id}'), 'x:{id}');
  t.equal(index.shownTemplate('c', 'c', 'x:{id}'), 'governor:c/x:{id}');
  t.strictSame(index.candidates('x:one'), ['a'], 'who lists it');
  t.strictSame(index.candidates('x:other'), ['b', 'c', 'a'], 'whose template fits, then whose scheme it is');
  t.strictSame(index.candidates('z:q/r'), ['c']);
  t.strictSame(index.candidates('w:q'), [], 'nobody');
  index.saw('c', 'x:other');
  t.strictSame(index.candidates('x:other'), ['c', 'b', 'a'], 'who named it last');
  index.saw('c', 'w:q');
  t.strictSame(index.candidates('w:q'), ['c']);
  for (let count = 0; count < 1_001; count++) index.saw('a', `v:${count}`);
  t.strictSame(index.candidates('w:q'), [], 'only so many are remembered');
  index.setOrder(['b', 'a']);
  t.equal(index.ownerOf('x:one'), 'b');
  t.strictSame(index.candidates('z:q/r'), [], 'a server that is gone is forgotten');
  index.forget('b');
  t.equal(index.ownerOf('x:one'), 'a');
  t.end();
});

t.test('patience', (t) => {
  let nowMs = 0;
  const patience = new Patience({ slowForMs: 100, shortMs: 5, now: () => nowMs });
  t.equal(patience.waitMs('a', 50), 50);
  patience.wasSlow('a');
  t.equal(patience.waitMs('a', 50), 5);
  t.equal(patience.waitMs('b', 50), 50);
  nowMs = 100;
  t.equal(patience.waitMs('a', 50), 50, 'it may have got better');
  patience.wasSlow('a');
  patience.answered('a');
  t.equal(patience.waitMs('a', 50), 50);
  patience.wasSlow('a');
  patience.keep(['b']);
  t.equal(patience.waitMs('a', 50), 50);
  t.end();
});
