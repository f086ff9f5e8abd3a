import t from 'tap';
import { firstJsonMistake, parseJsonBody } from '../../../../daemon/api/json-body.ts';
import { GovernorError } from '../../../../lib/core/errors.ts';

t.test('says where the first mistake is', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['{"a": x}', 'line 1, column 7: expected a value, found "x"'],
    ['{"a": 1,}', 'line 1, column 9: expected a name in double quotes, found "}"'],
    ['{a: 1}', 'line 1, column 2: expected a name in double quotes or "}", found "a"'],
    ['{\n  "a": 1\n  "b": 2\n}', 'line 3, column 3: expected "," or "}", found "\\""'],
    ['[1 2]', 'line 1, column 4: expected "," or "]", found "2"'],
    ['[1,', 'line 1, column 4: expected a value, found the end'],
    ['[', 'line 1, column 2: expected a value or "]", found the end'],
    ['{"a" 1}', 'line 1, column 6: expected ":", found "1"'],
    ['{} {}', 'line 1, column 4: expected the end, found "{"'],
    ['"abc', 'line 1, column 1: a string that is never closed'],
    ['"a\nb"', 'line 1, column 3: a control character in a string; write it as an escape'],
    [String.raw`"a\x"`, 'line 1, column 3: an escape that JSON does not know'],
    ['{"a": 01}', 'line 1, column 8: expected "," or "}", found "1"'],
    ["{'a': 1}", 'line 1, column 2: expected a name in double quotes or "}", found "\'"'],
    ['{"a": 😀}', 'line 1, column 7: expected a value, found "😀"'],
    ['   ', 'line 1, column 4: expected a value, found the end'],
    ['\uFEFF{}', 'line 1, column 1: expected a value, found "\uFEFF"'],
  ];
  for (const [text, message] of cases) {
    const error = caught(() => parseJsonBody(new TextEncoder().encode(text)));
    if (text.startsWith('\uFEFF')) t.equal(error, null, 'a byte order mark is taken');
    else t.equal(error?.message, `The body is not JSON: ${message}`, JSON.stringify(text));
  }
});

t.test('agrees with JSON.parse on what is JSON', async (t) => {
  const seeds = [
    '{"a":[1,2.5e-3,true,false,null,"x\\u0041\\n"],"b":{"c":{}},"":[]}',
    '[[[]],{"k":"v"},-0,0.1,1E+5,"\\"\\\\"]',
    ' {"deep":[{"a":[{"b":[1]}]}]} ',
    '"text"',
    '-12.5',
  ];
  const alphabet = '{}[]",:0123456789.eE+-tfn\\u "\n';
  let state = 12_345;
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state % below;
  };
  const disagreements: string[] = [];
  let invalid = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const seed = seeds[random(seeds.length)] ?? '';
    const at = random(seed.length + 1);
    const inserted = alphabet[random(alphabet.length)] ?? '';
    const text = seed.slice(0, at) + (random(3) === 0 ? '' : inserted) + seed.slice(at + random(3));
    const good = parses(text);
    if (!good) invalid += 1;
    if (good !== (firstJsonMistake(text) === null)) disagreements.push(text);
  }
  t.strictSame(disagreements, []);
  t.ok(invalid > 1000 && invalid < 19_000, `both kinds were there: ${invalid} of 20,000 invalid`);
});

t.test('a megabyte of brackets or of one string is read like anything else', async (t) => {
  const size = 1_000_000;
  t.match(
    caught(() => parseJsonBody(Buffer.from('['.repeat(size))))?.message,
    /column 1000001: expected a value or "\]"/,
  );
  t.equal((parseJsonBody(Buffer.from(`"${'a'.repeat(size)}"`)) as string).length, size);
});

t.test('an empty body is nothing, and bytes that are not UTF-8 are refused', async (t) => {
  t.equal(parseJsonBody(Buffer.alloc(0)), undefined);
  t.equal(caught(() => parseJsonBody(Buffer.from([0x22, 0xff, 0x22])))?.message, 'The body is not UTF-8');
  t.strictSame(parseJsonBody(Buffer.from('{"ä":"😀"}')), { ä: '😀' });
});

function caught(run: () => unknown): GovernorError | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof GovernorError) return error;
    throw error;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}
