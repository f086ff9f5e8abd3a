/** The state directory takes nothing any more (a full disk): a stop goes on without its note in the ledger. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startDaemon } from '../helpers/daemon.ts';
import { fixtureCommand, newMarker } from '../helpers/fixture.ts';
import { killSurvivors, survivors } from '../helpers/survivors.ts';

t.test('a stop neither waits for the disk nor fails with it', async (t) => {
  const marker = newMarker();
  t.teardown(() => killSurvivors(marker));
  const [command, ...args] = fixtureCommand('idle', [`--marker=${marker}`]);
  const config = { tools: { idle: { command, args, readiness: 'none', grace: '1s', autostart: false } } };
  const daemon = await startDaemon(t, { config });
  const run = (await daemon.call('POST', '/v1/tools/idle/activate')).json.id as string;
  // In the way of the file that the next entry is written to first.
  mkdirSync(join(daemon.stateDir, 'ledger', `${run}.json.new`));
  const stopped = await daemon.call('POST', '/v1/tools/idle/deactivate');
  t.equal(stopped.status, 200, stopped.text);
  t.strictSame(stopped.json.runs, []);
  t.equal(stopped.json.lastEnd.cleanup.proven, true);
  t.strictSame(survivors(marker), []);
  t.match(daemon.output(), /the stop goes on without it/);
});
