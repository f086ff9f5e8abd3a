import t from 'tap';
import { inspect } from 'node:util';
import { causeWithoutKey, maskKey, messageWithoutKey } from '../../../lib/client/mask-key.ts';

t.test('the last four characters, of short keys nothing', async (t) => {
  for (const [key, masked] of [
    ['', '****'],
    ['a', '****'],
    ['abcd', '****'],
    ['abcdefgh', '****'],
    ['abcdefghi', '****fghi'],
    ['sk-1234567890abcdef', '****cdef'],
    ['𝒂𝒃𝒄𝒅𝒆𝒇𝒈𝒉𝒊𝒋', '****𝒈𝒉𝒊𝒋'],
    ['𝒂𝒃𝒄𝒅𝒆𝒇𝒈𝒉', '****'],
    ['secret-secret\nev', '****t?ev'],
  ] as const)
    t.equal(maskKey(key), masked, JSON.stringify(key));
});

t.test('what was thrown does not give the key away', async (t) => {
  const key = 'token-1234567890';
  t.equal(messageWithoutKey(new Error(`no ${key}, not ${key}`), key), 'no ****7890, not ****7890');
  t.equal(messageWithoutKey('plain', key), 'plain');
  t.equal(messageWithoutKey('empty', ''), 'empty');
  const harmless = new Error('harmless');
  t.same(causeWithoutKey(harmless, key), { cause: harmless });
  const inside = Object.assign(new Error('x'), { config: { headers: { authorization: key } } });
  t.match(inspect(inside, { depth: 6 }), key, 'whoever printed it would print the key');
  t.same(causeWithoutKey(inside, key), {});
});
