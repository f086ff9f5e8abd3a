import t from 'tap';
import { UriTemplate as SdkTemplate } from '@modelcontextprotocol/sdk/shared/uriTemplate.js';
import { UriTemplate } from '../../../lib/core/uri-template.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

/** Of a null prototype, as `same` compares it. */
const match = (template: string, uri: string): object | null => {
  const parameters = UriTemplate.of(template).match(uri);
  return parameters === null ? null : { ...parameters };
};

t.test('what matches, and with which parameters', async (t) => {
  const cases: readonly (readonly [template: string, uri: string, parameters: object | null])[] = [
    ['file:///a.txt', 'file:///a.txt', {}],
    ['file:///a.txt', 'file:///a.txt2', null],
    ['file:///a.txt', 'file:///b.txt', null],
    // level 1
    ['users://{id}/profile', 'users://7/profile', { id: '7' }],
    ['users://{id}/profile', 'users:///profile', null],
    ['users://{id}/profile', 'users://a/b/profile', null],
    ['users://{id}', 'users://a%20b', { id: 'a b' }],
    ['users://{id}', 'users://ann@example.org:1', { id: 'ann@example.org:1' }],
    ['users://{id}', 'users://7?x=1', null],
    ['weather://{lat},{lon}', 'weather://47.4,8.5', { lat: '47.4', lon: '8.5' }],
    ['{name}.{extension}', 'a.tar.gz', { name: 'a.tar', extension: 'gz' }],
    ['{a}-{b}', 'x-y-z', { a: 'x-y', b: 'z' }],
    // level 2
    ['file:///{+path}', 'file:///a/b/c.txt', { path: 'a/b/c.txt' }],
    ['file:///{+path}', 'file:///', null],
    ['file:///{+path}/end', 'file:///a/end/end', { path: 'a/end' }],
    ['doc{#part}', 'doc#one/two', { part: 'one/two' }],
    ['doc{#part}', 'doc', {}],
    // level 3
    ['map?{x,y}', 'map?1024,768', { x: '1024', y: '768' }],
    ['{+x,y}', '1/2,3/4', { x: '1/2', y: '3/4' }],
    ['X{.x}', 'X.tar.gz', { x: 'tar.gz' }],
    ['X{.x,y}', 'X.tar.gz', { x: 'tar', y: 'gz' }],
    ['X{.x,y}', 'X.tar', { x: 'tar' }],
    ['{/a,b}/here', '/1/2/here', { a: '1', b: '2' }],
    ['{/a,b}/here', '/here', {}],
    ['{/a,b}', '/1/2/3', null],
    ['{;x,y,empty}', ';x=1024;y=768;empty', { x: '1024', y: '768', empty: '' }],
    ['{;x}', ';z=1', null],
    ['q{?a,b}', 'q?a=1&b=2', { a: '1', b: '2' }],
    ['q{?a,b}', 'q?b=2&a=1', { a: '1', b: '2' }],
    ['q{?a,b}', 'q?b=2', { b: '2' }],
    ['q{?a,b}', 'q', {}],
    ['q{?a,b}', 'q?', null],
    ['q{?a,b}', 'q?c=3', null],
    ['q{?a}', 'q?a=', { a: '' }],
    ['q{?a}', 'q?a=1&a=2', { a: '1' }],
    ['q{?a}', 'q?a=/b,c:d', { a: '/b,c:d' }],
    ['q?fixed=1{&a}', 'q?fixed=1&a=2', { a: '2' }],
    ['q?fixed=1{&a}', 'q?fixed=1', {}],
    ['doc://{id}{?q}', 'doc://5?q=1', { id: '5', q: '1' }],
    ['doc://{id}{;v}', 'doc://5;v=1', { id: '5', v: '1' }],
    // level 4
    ['{var:3}', 'val', { var: 'val' }],
    ['{var:3}', 'va', { var: 'va' }],
    ['{var:3}', 'valu', null],
    ['{var:2}x', '%C3%BC%C3%BCx', { var: null }],
    ['{+path:6}here', '/foo/bhere', { path: '/foo/b' }],
    ['q{?a:2}', 'q?a=', { a: '' }],
    ['{list*}', 'red,green,blue', { list: ['red', 'green', 'blue'] }],
    ['{+list*}', 'r/e,g', { list: ['r/e', 'g'] }],
    ['{/path*}', '/a/b/c', { path: ['a', 'b', 'c'] }],
    ['{/path*}', '', {}],
    ['{/var:1,path*}', '/v/a/b', { var: 'v', path: ['a', 'b'] }],
    ['X{.list*}', 'X.a.b', { list: ['a', 'b'] }],
    ['q{?list*}', 'q?list=a&list=b', { list: ['a', 'b'] }],
    ['q{?keys*}', 'q?semi=%3B&dot=.', { keys: ['semi=;', 'dot=.'] }],
    ['{;list*}', ';list=a;list=b', { list: ['a', 'b'] }],
    // spelling
    ['käse://{x}', 'k%c3%a4se://y', { x: 'y' }],
    ['k%c3%A4se://{x}', 'käse://ü', { x: 'ü' }],
    ['a%2Fb', 'a/b', null],
    ['%41{x}', 'Ab', { x: 'b' }],
    ['{x}', '%FF', { x: '%FF' }],
    ['{x}', '%zz', { x: '%zz' }],
    ['{x}', 'a\uD800b', { x: 'a\uFFFDb' }],
    ['{__proto__}{?constructor}', 'a?constructor=b', null],
  ];
  for (const [template, uri, parameters] of cases) {
    if (template === '{var:2}x') t.same(match(template, uri), { var: 'üü' }, 'an encoded character is several bytes');
    else if (template.includes('__proto__')) {
      const found = UriTemplate.of(template).match(uri);
      t.same(Object.keys(found ?? {}).sort(), ['__proto__', 'constructor']);
    } else t.same(match(template, uri), parameters, `${template} ← ${uri}`);
  }
});

t.test('what RFC 6570 expands is read back', async (t) => {
  t.equal(
    expand('{x,hello,y}', { x: '1024', hello: 'Hello World!', y: '768' }),
    '1024,Hello%20World%21,768',
    'its own examples',
  );
  t.equal(expand('{+path:6}here{;x,empty}', { path: '/foo/bar', x: '1', empty: '' }), '/foo/bhere;x=1;empty');
  t.equal(expand('{/list*}{?list2*}', { list: ['red', 'green'], list2: ['a', 'b'] }), '/red/green?list2=a&list2=b');
  const templates = [
    'file:///{name}',
    'db://{schema}/{table}{?limit,offset}',
    'x{/a,b,c}',
    'x{#f}',
    'x{.a}',
    'x{+a}',
    'x?y=1{&a,b}',
    '{a},{b}',
    'x{;a,b}/{c}',
    'x{/a*}{?b*,c}',
    '{a*}/z',
  ];
  const words = ['a', 'some text', 'ünï', '100%', 'a/b', 'q?x=1&y=2', '😀', 'a,b', "it's", '{x}', '~_-'];
  let random = 1;
  const pick = (): string => words[(random = (random * 48_271) % 2_147_483_647) % words.length] as string;
  for (const text of templates) {
    const template = UriTemplate.of(text);
    for (let turn = 0; turn < 100; turn++) {
      const given = Object.fromEntries(
        template.variables.map((name) => [name, text.includes(`${name}*`) ? [pick(), pick(), pick()] : pick()]),
      );
      const uri = expand(text, given);
      const read = Object.fromEntries(
        Object.entries(given).map(([name, value]) => [
          name,
          text.includes('{+') || text.includes('{#') ? decodeURIComponent(encodeURI(value as string)) : value,
        ]),
      );
      t.same(match(text, uri), read, `${text} ← ${uri}`);
    }
  }
});

t.test('where the SDK finds a match in a plain template, so does this, and the same', async (t) => {
  for (const [text, uris] of [
    ['users://{id}/profile', ['users://1/profile', 'users://1', 'users://a/b/profile', 'users://é/profile']],
    ['file:///{+path}', ['file:///a/b', 'file:///a', 'file:///']],
    ['a/{x}/b/{y}', ['a/1/b/2', 'a/1/b', 'a/1/c/2', 'a//b/2']],
  ] as const)
    for (const uri of uris) {
      const theirs = new SdkTemplate(text).match(uri);
      t.same(match(text, uri), theirs, `${text} ← ${uri}`);
    }
});

t.test('a template that is none is refused, with the position', async (t) => {
  for (const [text, position, message] of [
    ['', 1, 'it is empty'],
    ['a{', 2, 'this { is not closed'],
    ['a{b', 2, 'this { is not closed'],
    ['a}b', 2, 'this } closes nothing'],
    ['a{}', 3, 'an expression without a variable'],
    ['{+}', 3, 'a variable without a name'],
    ['{a,}', 4, 'a variable without a name'],
    ['{a,,b}', 4, 'a variable without a name'],
    ['{*}', 2, 'a variable without a name'],
    ['{=x}', 2, 'the operator = is reserved by RFC 6570'],
    ['{|x}', 2, 'the operator | is reserved by RFC 6570'],
    ['{a b}', 2, '"a b" is no name of a variable'],
    ['{a{b}}', 2, '"a{b" is no name of a variable'],
    ['{a..b}', 2, '"a..b" is no name of a variable'],
    ['{a}{/b,a}', 8, 'the variable a comes twice'],
    ['{a:}', 4, 'a length is a number from 1 to 9999'],
    ['{a:0}', 4, 'a length is a number from 1 to 9999'],
    ['{a:10000}', 4, 'a length is a number from 1 to 9999'],
    ['{a:3*}', 3, 'a variable has a length or a *, not both'],
    ['x {a}', 2, '" " cannot stand in a URI'],
    ['x<{a}', 2, '"<" cannot stand in a URI'],
    ['50%', 3, 'a % that two hexadecimal digits must follow'],
    ['%2g', 1, 'a % that two hexadecimal digits must follow'],
    ['{a:9999}', 1, 'a length that long makes the template too large'],
    ['xx{a:200}{b:250}', 10, 'a length that long makes the template too large'],
    [`${'x'.repeat(512)}y`, 513, 'it has more than 512 characters'],
    [Array.from({ length: 33 }, (_, index) => `{v${index}}`).join(''), 152, 'more than 32 variables'],
  ] as const) {
    const parsed = UriTemplate.parse(text);
    t.same(parsed, { ok: false, error: { message, position } }, text.slice(0, 40));
    t.throws(() => UriTemplate.of(text), isGovernorError('invalid_request'));
  }
  t.throws(() => UriTemplate.of('a{b'), {
    message: 'the URI template "a{b", character 2: this { is not closed',
    data: { position: 2 },
  });
  t.equal(UriTemplate.parse('x'.repeat(512)).ok, true);
  t.equal(UriTemplate.parse('{var}{x.y}{a%20b}').ok, true);
});

t.test('no template hangs the matcher: what would take a regular expression for ever ends', async (t) => {
  const long = 'a'.repeat(50_000);
  const letters = 'abcdefghijklmnop'.split('');
  for (const [template, uri] of [
    [`${letters.map((name) => `{${name}}`).join('')}!x`, long],
    [`${letters.map((name) => `{+${name}}`).join('')}\u00E9`, long],
    ['{/id*}{/rest}!', `/${'a/'.repeat(25_000)}`],
    ['/users{/id*}', `/users/${'user1,user2,user3,'.repeat(5_000)}userX//`],
    ['x{?tags*}{&more*}!', `x?${'a=1&'.repeat(10_000)}`],
    [`{x}${'a'.repeat(300)}!b`, long],
    ['{list*},{other*}!', 'a,'.repeat(25_000)],
    ['{x:300}b', long],
  ] as const)
    t.equal(UriTemplate.of(template).match(uri), null, template.slice(0, 30));
  t.same(match(letters.map((name) => `{${name}}`).join(''), long)?.['a' as never], 'a'.repeat(50_000 - 15));
});

/** RFC 6570, appendix A, word by word: first, separator, named, what an empty value leaves, what may stand as it is. */
const RULES: Readonly<Record<string, readonly [string, string, boolean, string, boolean]>> = {
  '': ['', ',', false, '', false],
  '+': ['', ',', false, '', true],
  '.': ['.', '.', false, '', false],
  '/': ['/', '/', false, '', false],
  ';': [';', ';', true, '', false],
  '?': ['?', '&', true, '=', false],
  '&': ['&', '&', true, '=', false],
  '#': ['#', ',', false, '', true],
};

function expand(template: string, values: Readonly<Record<string, string | readonly string[]>>): string {
  return template.replaceAll(/\{([+#./;?&]?)([^}]*)\}/g, (_, operator: string, specs: string) => {
    const [first, separator, named, empty, reserved] = RULES[operator] as (typeof RULES)[string];
    const encode = (value: string): string =>
      reserved
        ? encodeURI(value)
            .replaceAll(/%5B|%5D/g, decodeURIComponent)
            .replaceAll(/%25([0-9A-F]{2})/g, '%$1')
        : encodeURIComponent(value).replaceAll(
            /[!'()*]/g,
            (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`,
          );
    const one = (name: string, value: string): string =>
      named ? `${name}${value === '' ? empty : `=${encode(value)}`}` : encode(value);
    const parts = specs.split(',').flatMap((spec) => {
      const [, name = '', length, star] = /^([^:*]+)(?::(\d+))?(\*)?$/.exec(spec) ?? [];
      const value = values[name];
      if (value === undefined) return [];
      if (typeof value === 'string')
        return [one(name, length === undefined ? value : Array.from(value).slice(0, Number(length)).join(''))];
      return star === undefined
        ? [named ? `${name}=${value.map(encode).join(',')}` : value.map(encode).join(',')]
        : value.map((item) => one(name, item));
    });
    return parts.length === 0 ? '' : first + parts.join(separator);
  });
}
