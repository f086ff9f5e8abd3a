import t from 'tap';
import { lacksFixture } from '../helpers/fixture.ts';
import { lacksStand, standFor } from './stand.ts';
import { stopsOn } from './stops.ts';

const noFixture = lacksFixture('hop-fork', 'fork-bomb', 'zombie-leader');

for (const who of ['self', 'nobody'] as const) {
  const stand = standFor('procfs', who);
  const skip = noFixture === false ? await lacksStand(stand) : noFixture;
  // One daemon at a time: in a group that it has to itself, another one is a stranger.
  await t.test(stand.name, { skip }, (t) => stopsOn(t, stand));
}
