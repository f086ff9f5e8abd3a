/** The helpers that tests trust must be able to say no. */

import { spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { newMarker, startFixture } from '../../helpers/fixture.ts';
import { listen } from '../../helpers/heard.ts';
import { lacks } from '../../helpers/skip.ts';
import {
  formatSurvivor,
  identityOf,
  isAlive,
  killIdentity,
  killSurvivors,
  survivors,
  survivorsAfter,
} from '../../helpers/survivors.ts';
import { waitFor } from '../../helpers/wait-for.ts';

const linux = lacks('linux');

t.test('survivors', { skip: linux }, async (t) => {
  t.same(survivors(newMarker()), [], 'nothing carries a new marker');
  t.throws(() => survivors('short'), /could match strangers/);

  const fixture = startFixture(t, 'idle');
  await fixture.said('ready');
  const [found, ...others] = survivors(fixture.marker);
  t.same(others, []);
  t.match(found, { ...fixture.identity, state: /[RS]/ });
  t.match(formatSurvivor(found as NonNullable<typeof found>), `${fixture.pid} `);
  t.equal((await survivorsAfter(fixture.marker, 1)).length, 1, 'still there after the time');

  await killSurvivors(fixture.marker);
  t.same(await fixture.ended, { code: null, signal: 'SIGKILL' });
  t.same(survivors(fixture.marker), []);
});

t.test('a process is signalled only while it is the same one', { skip: linux }, async (t) => {
  const fixture = startFixture(t, 'idle');
  await fixture.said('ready');
  const stranger = { ...fixture.identity, startTicks: fixture.identity.startTicks + 1 };
  t.notOk(killIdentity(stranger));
  t.notOk(isAlive(stranger));
  t.ok(isAlive(fixture.identity));
  t.ok(killIdentity(fixture.identity));
  await fixture.ended;
  t.notOk(isAlive(fixture.identity));
  t.notOk(killIdentity(fixture.identity));
});

t.test('a zombie is not alive', { skip: linux }, async (t) => {
  const marker = newMarker();
  const shell = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], {
    env: { ...process.env, GOVERNOR_TEST_MARKER: marker },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => killSurvivors(marker));
  const child = listen(shell.stdout, 'sh');
  await waitFor('a pid', () => child.lines().length === 1);
  const identity = identityOf(Number(child.lines()[0]));
  await waitFor('the zombie to be all that is left of it', () => identity !== null && !isAlive(identity));
  t.same(
    survivors(marker).map(({ pid }) => pid),
    [shell.pid],
  );
});

t.test('waiting', async (t) => {
  await t.rejects(
    waitFor('nothing', () => 0, { timeoutMs: 30 }),
    /waited \d+ ms for nothing; last: 0/,
  );
  const failing = waitFor('a failure', () => Promise.reject(new Error('why not')), { timeoutMs: 30 });
  await t.rejects(failing, /last: why not/);
  let looks = 0;
  t.equal(await waitFor('the third look', () => (looks += 1) === 3 && 'found', { everyMs: 1 }), 'found');
});

t.test('listening', async (t) => {
  const stream = new PassThrough();
  const heard = listen(stream, 'speaker');
  stream.write('ready {"a":1}\nplain wor');
  stream.write('ds\n');
  t.same(await heard.said('ready'), { a: 1 });
  t.same(await heard.said('plain'), { text: 'words' });
  await t.rejects(heard.said('rea', 10), /did not say "rea": waited/, 'whole words only');
  const never = heard.said('never');
  stream.destroy();
  await t.rejects(never, /speaker did not say "never": its stdout ended; it said: ready/);
});
