import t from 'tap';
import { UriPatterns } from '../../../lib/core/uri-patterns.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

t.test('the first that matches wins, with its parameters', async (t) => {
  const patterns = new UriPatterns<number>([
    ['file:///logs/{+path}', 1],
    ['file:///{+path}', 2],
  ]);
  patterns.add('{+anything}', 3);
  t.equal(patterns.size, 3);
  t.match(patterns.match('file:///logs/a/b'), {
    template: 'file:///logs/{+path}',
    value: 1,
    parameters: { path: 'a/b' },
  });
  t.match(patterns.match('file:///other/a'), {
    template: 'file:///{+path}',
    value: 2,
    parameters: { path: 'other/a' },
  });
  t.match(patterns.match('db://x'), { value: 3 });
  t.equal(patterns.match(''), null);
  t.equal(new UriPatterns().match('x'), null);
});

t.test('a template that is none is refused when it is given', async (t) => {
  t.throws(
    () =>
      new UriPatterns([
        ['ok', 1],
        ['{', 2],
      ]),
    isGovernorError('invalid_request'),
  );
  const patterns = new UriPatterns<number>();
  t.throws(() => patterns.add('a{b', 1), { message: /character 2/ });
  t.equal(patterns.size, 0);
});
