import { readFileSync } from 'node:fs';
import t from 'tap';
import { FIGURES, figuresDocument } from '../../bench/write-figures.ts';

t.test('the document has the results that are kept', async (t) => {
  const document = readFileSync(FIGURES, 'utf8');
  t.ok(document === figuresDocument(), 'else run: npm run bench:write');
  for (const bench of ['allocator', 'cleanup', 'daemon', 'gateway', 'launch', 'sample', 'survivors'])
    t.match(document, new RegExp(`^## ${bench}$`, 'm'));
});
