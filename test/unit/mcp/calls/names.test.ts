import t from 'tap';
import { labelOf, nameOf } from '../../../../lib/mcp/calls/names.ts';

t.test('a call by its name; what a resource is called is not told', async (t) => {
  t.equal(labelOf({ method: 'tools/call', params: { name: 'search' } }), 'tools/call search');
  t.equal(labelOf({ method: 'resources/read', params: { uri: 'file:///home/secret' } }), 'resources/read');
  t.equal(labelOf({ method: 'tools/call', params: { name: 7 } }), 'tools/call');
  t.equal(nameOf({ method: 'resources/read', params: { uri: 'file:///x' } }), 'file:///x');
  t.equal(nameOf({ method: 'tools/call' }), null);
});

t.test('bounded, on one line, and no half of a secret', async (t) => {
  t.equal(labelOf({ method: 'tools/call', params: { name: 'a\nb' } }), 'tools/call a b');
  t.equal(labelOf({ method: 'tools/call', params: { name: 'x'.repeat(100_000) } }).length, 128);
  const wrong: string[] = [];
  for (let before = 60; before <= 128; before++) {
    const label = labelOf({
      method: 'm',
      params: { name: `${'x '.repeat(64).slice(0, before)} ghp_${'Zx9S'.repeat(9)}` },
    });
    if (/Zx9|9S/.test(label)) wrong.push(label);
  }
  t.same(wrong, []);
});
