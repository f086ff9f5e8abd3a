import t from 'tap';
import { findCookie } from '../../../lib/os/procfs/environ.ts';

function find(...variables: readonly string[]): string | null {
  const text = Buffer.from(variables.map((variable) => `${variable}\0`).join(''));
  return findCookie(text, text.length);
}

t.test('the cookie is a whole variable', async (t) => {
  t.equal(find('A=1', 'GOVERNOR_RUN=abc', 'B=2'), 'abc');
  t.equal(find('GOVERNOR_RUN=abc'), 'abc');
  t.equal(find('GOVERNOR_RUN='), '');
  t.equal(find('XGOVERNOR_RUN=abc'), null, 'the end of another name');
  t.equal(find('A=GOVERNOR_RUN=abc'), null, 'the value of another variable');
  t.equal(find('A=GOVERNOR_RUN=abc', 'GOVERNOR_RUN=def'), 'def');
  t.equal(find('GOVERNOR_RUNNER=abc'), null);
  t.equal(find(), null);
});

t.test('what stands after the text does not count', async (t) => {
  const text = Buffer.from('A=1\0GOVERNOR_RUN=abc\0');
  t.equal(findCookie(text, 4), null);
  t.equal(findCookie(text, text.length - 3), 'a', 'a value cut short ends there');
});
