import { dirname } from 'node:path';
import t from 'tap';
import { recoveryDetails } from '../../../../daemon/cli/recovery-text.ts';
import { fakePostMortem } from '../../../helpers/fake-post-mortem.ts';
import { FAKE_RECOVERY } from '../../../helpers/fake-views.ts';
import type { RecoveryView } from '../../../../lib/supervisor/views.ts';
import { serve, type Overrides } from '../api/serve.ts';
import { governor } from './harness.ts';

async function cliOf(t: Parameters<typeof serve>[0], overrides: Overrides = {}) {
  const { socketPath } = await serve(t, overrides);
  return (words: readonly string[]) => governor(words, { env: { GOVERNOR_STATE_DIR: dirname(socketPath) } });
}

t.test('post-mortem: all, the newest of a tool, one by its run', async (t) => {
  const cli = await cliOf(t);
  const all = await cli(['post-mortem']);
  t.match(all, {
    code: 0,
    err: /^$/,
    out: /^TOOL +RUN +WHEN +LIVED +REASON +MESSAGE\necho +failedrun1 .*\n.*failedrun0.*\ngone +other /,
  });
  const { out } = await cli(['post-mortem', 'echo']);
  t.match(out, /^echo {2}stopped: memory 300 MiB is 117 % of its limit of 256 MiB, stage cleanup$/m);
  t.match(out, /^ {2}ended {5}2026-01-31T12:00:00.000Z \(1h ago\): limit, signal SIGTERM$/m);
  t.match(out, /^ {2}command {3}node server\.js '--token=\*\*\*'$/m);
  t.match(out, /^ {2}cleanup {3}proven, nothing left, in 12ms after 300ms of grace$/m);
  t.match(out, /^ {2}recovery {2}restart, 0 attempts$/m);
  t.match(out, /^ {2}memory +300 MiB +256 MiB +117% +cleanup +two weeks of p99$/m);
  t.match(out, /^ +10 {2}node .*\n +20 {4}worker /m, 'a tree, the parent first');
  t.match(out, /^ {2}4 {2}pipe$/m);
  t.match(out, /^ {2}1 {2}tcp ESTABLISHED$/m);
  t.match(out, /throttled → cleanup +300 MiB +117% +samples$/m);
  t.match(out, /^Last lines\n {2}cache: 900,000 entries$/m);
  t.match(out, /^Earlier failures\n {2}.* failedrun0 {2}stopped: memory/m);
  t.notMatch(out, /Not looked at/);
  t.notMatch((await cli(['post-mortem', 'echo/failedrun0'])).out, /Earlier failures/);
  t.match(await cli(['post-mortem', 'gone']), { code: 0, out: /^ {2}run {7}other,/m }, 'of a tool that is gone');
});

t.test('post-mortem --json is the document; none is null', async (t) => {
  const cli = await cliOf(t);
  t.strictSame(JSON.parse((await cli(['post-mortem', 'echo', '--json'])).out), fakePostMortem());
  t.equal((JSON.parse((await cli(['post-mortem', '--json'])).out) as { postMortems: unknown[] }).postMortems.length, 3);
  t.match(await cli(['post-mortem', 'naïve tool', '--json']), { code: 0, out: 'null\n' });
  t.match(await cli(['post-mortem', 'naïve tool']), { code: 0, out: 'No failure of naïve tool is kept.\n' });
  t.match(await cli(['post-mortem', 'ecko']), { code: 1, err: /no tool.*ecko.*did you mean "echo"/is });
  t.match(await cli(['post-mortem', 'echo/nosuchrun1']), {
    code: 1,
    err: /no post-mortem is kept of a run nosuchrun1/,
  });
  const none = await cliOf(t, { postMortems: { list: async () => [], read: async () => null } });
  t.match(await none(['post-mortem']), { code: 0, out: 'No failure of any tool is kept.\n' });
});

t.test('post-mortem: what was not looked at, what was left, control characters', async (t) => {
  const document = fakePostMortem();
  const { cleanup } = document.end;
  if (cleanup === null) throw new Error('it has one');
  const odd = fakePostMortem({
    end: { ...document.end, cleanup: { ...cleanup, proven: false, left: { processes: 1 } } },
    snapshot: {
      ...document.snapshot,
      processes: null,
      files: null,
      sockets: null,
      omitted: [{ what: 'processes', why: 'it was killed at once' }],
    },
    logs: ['red \u001b[31malert'],
    decisions: [],
  });
  const cli = await cliOf(t, { postMortems: { list: async () => [odd], read: async () => odd } });
  const { out } = await cli(['post-mortem', 'echo']);
  t.match(out, /^ {2}cleanup {3}not proven to be all of it, left: 1 processes,/m);
  t.match(out, /^Not looked at\n {2}processes: it was killed at once$/m);
  t.notMatch(out, '\u001b');
  t.notMatch(out, /^(Processes|Open files|Sockets|Decisions|Earlier)/m);
});

t.test('how a tool is recovered, in lines', async (t) => {
  const recovery: RecoveryView = {
    ...FAKE_RECOVERY,
    strategy: 'degrade',
    attempts: 3,
    nextAttemptAt: '2026-01-31T13:00:05.000Z',
    replaced: { since: '2026-01-31T12:00:00.000Z', why: 'the last 3 recoveries by restart failed' },
    degraded: { since: '2026-01-31T12:00:01.000Z', why: 'ended by itself', class: 'light', callsAtOnce: 1 },
    onTrial: true,
    failure: { reason: 'it failed', until: null },
    rates: [
      { strategy: 'restart', succeeded: 1, failed: 3, gaveUp: 0, rate: 0.25 },
      { strategy: 'degrade', succeeded: 0, failed: 0, gaveUp: 1, rate: null },
    ],
  };
  t.strictSame(recoveryDetails(recovery), [
    'degrade, 3 attempts, next at 2026-01-31T13:00:05.000Z, on trial after a failure',
    'in place of restart since 2026-01-31T12:00:00.000Z: the last 3 recoveries by restart failed',
    'degraded since 2026-01-31T12:00:01.000Z (class light, 1 call at once): ended by itself',
    'not started again: it failed',
    'restart: 1 of 4 succeeded (25%), gave up 0 times',
    'degrade: 0 of 0 succeeded (–), gave up 1 times',
  ]);
});
