import t from 'tap';
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readOrCreateToken, tokenPath } from '../../../daemon/token.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

t.test('made once, private, and unlike any other', async (t) => {
  const [one, two] = [t.testdir({}), join(t.testdir({ two: {} }), 'two')];
  const token = readOrCreateToken(one);
  t.match(token, /^[\w-]{43}$/, '256 bits, base64url');
  t.equal(readOrCreateToken(one), token);
  t.not(readOrCreateToken(two), token);
  t.equal(statSync(tokenPath(two)).mode & 0o777, 0o600);
  t.equal(readFileSync(tokenPath(two), 'utf8'), `${readOrCreateToken(two)}\n`);
});

t.test("one that others could read is closed to them; one of a person's own is taken", async (t) => {
  const directory = t.testdir({ token: '  a-token-of-my-own!  \n' });
  chmodSync(tokenPath(directory), 0o644);
  t.equal(readOrCreateToken(directory), 'a-token-of-my-own!');
  t.equal(statSync(tokenPath(directory)).mode & 0o777, 0o600);
});

t.test('a file that holds no token is said, never taken', async (t) => {
  for (const text of [
    '',
    '\n',
    'short',
    'x'.repeat(513),
    'two words are none',
    'größere Sicherheit',
    'a\u0000b'.repeat(10),
  ]) {
    const directory = t.testdir({ token: text });
    t.throws(
      () => readOrCreateToken(directory),
      {
        ...isGovernorError('state_dir'),
        message: /token holds no token \(16 to 512 printable characters\); delete it and a new one is made$/,
      },
      JSON.stringify(text.slice(0, 10)),
    );
    t.equal(readFileSync(tokenPath(directory), 'utf8'), text, 'it stays as it is');
  }
});

t.test('what is not a file', async (t) => {
  t.throws(() => readOrCreateToken(t.testdir({ token: {} })), isGovernorError('state_dir'));
  t.throws(() => readOrCreateToken(join(t.testdir({}), 'missing')), isGovernorError('state_dir'));
  const directory = t.testdir({ elsewhere: 'a-token-somewhere-else' });
  symlinkSync('elsewhere', tokenPath(directory));
  t.equal(readOrCreateToken(directory), 'a-token-somewhere-else', 'a link to a secret store');
  writeFileSync(join(directory, 'elsewhere'), '');
  t.throws(() => readOrCreateToken(directory), isGovernorError('state_dir'));
});
