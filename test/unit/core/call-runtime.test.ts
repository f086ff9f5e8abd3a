import t from 'tap';
import {
  answered,
  asked,
  beganCall,
  capOf,
  clockOf,
  inStage,
  readCall,
  renewed,
  stageOfCall,
  untilNextStageMs,
} from '../../../lib/core/call-runtime.ts';
import type { ResolvedLimit } from '../../../lib/core/limits.ts';
import type { Stage } from '../../../lib/core/ladder.ts';
import { defaultActions } from '../../../lib/core/response.ts';
import { limitOf } from './policy-fixture.ts';

const BEGAN = 1_000;
const MARGIN = 0.05;
const call = beganCall(BEGAN);

function runtimeOf(limitMs: number, more: Partial<ResolvedLimit> = {}): ResolvedLimit {
  return limitOf('runtime', limitMs, { actions: defaultActions('runtime', true), ...more });
}

t.test('each stage begins at its share of the limit, to the millisecond', (t) => {
  const limit = runtimeOf(100_000, { actions: defaultActions('runtime', false) });
  const table: readonly (readonly [number, Stage])[] = [
    [0, 'normal'],
    [74_999, 'normal'],
    [75_000, 'warning'],
    [89_999, 'warning'],
    [90_000, 'throttled'],
    [99_999, 'throttled'],
    [100_000, 'cleanup'],
    [149_999, 'cleanup'],
    [150_000, 'emergency'],
  ];
  for (const [atMs, stage] of table) t.equal(stageOfCall(call, limit, BEGAN + atMs, MARGIN), stage, `${atMs} ms`);
  t.end();
});

t.test('a call that cleanup cancels is cancelled before its process has to answer for it', (t) => {
  const limit = runtimeOf(100_000);
  t.equal(stageOfCall(call, limit, BEGAN + 500_000, MARGIN), 'cleanup');
  t.equal(stageOfCall(inStage(call, 'cleanup', limit), limit, BEGAN + 149_999, MARGIN), 'cleanup');
  t.equal(stageOfCall(inStage(call, 'cleanup', limit), limit, BEGAN + 150_000, MARGIN), 'emergency');
  t.end();
});

t.test('progress gives it the whole time again, up to the cap', (t) => {
  const limit = runtimeOf(100_000, { capMs: 250_000 });
  let going = call;
  for (const atMs of [90_000, 170_000]) going = renewed(going, BEGAN + atMs);
  t.equal(clockOf(going, BEGAN + 170_000), 0);
  t.same(readCall(going, limit, BEGAN + 180_000), { usage: 180_000, limit: 250_000, ratio: 0.72 });
  t.equal(stageOfCall(going, limit, BEGAN + 187_499, MARGIN), 'normal');
  t.equal(stageOfCall(going, limit, BEGAN + 187_500, MARGIN), 'warning', '75 % of the cap');
  going = renewed(going, BEGAN + 249_000);
  t.equal(stageOfCall(going, limit, BEGAN + 249_999, MARGIN), 'throttled');
  t.equal(stageOfCall(going, limit, BEGAN + 250_000, MARGIN), 'cleanup', 'progress is no way past it');
  t.end();
});

t.test('the cap where none is written: six times the limit, at least ten minutes, never below the limit', (t) => {
  t.equal(capOf({ limit: 300_000 }), 1_800_000);
  t.equal(capOf({ limit: 1_000 }), 600_000);
  t.equal(capOf({ limit: 1_000, capMs: 5_000 }), 5_000);
  t.equal(capOf({ limit: 10_000, capMs: 5_000 }), 10_000, 'a limit that was raised above it');
  t.end();
});

t.test('the clock stands still while a question is open, the cap does not', (t) => {
  const limit = runtimeOf(100_000, { capMs: 300_000 });
  const waiting = asked(call, BEGAN + 50_000);
  t.equal(clockOf(waiting, BEGAN + 200_000), 50_000);
  t.equal(stageOfCall(waiting, limit, BEGAN + 224_999, MARGIN), 'normal');
  t.equal(stageOfCall(waiting, limit, BEGAN + 225_000, MARGIN), 'warning', '75 % of the cap');
  const second = asked(waiting, BEGAN + 60_000);
  const half = answered(second, BEGAN + 70_000);
  t.equal(clockOf(half, BEGAN + 80_000), 50_000, 'one of two is still open');
  const both = answered(half, BEGAN + 90_000);
  t.equal(clockOf(both, BEGAN + 100_000), 60_000);
  t.equal(clockOf(answered(both, BEGAN + 100_000), BEGAN + 110_000), 70_000, 'an answer too many changes nothing');
  const renewedMeanwhile = renewed(waiting, BEGAN + 55_000);
  t.equal(clockOf(renewedMeanwhile, BEGAN + 99_000), 0, 'progress while it stands still does not start it');
  t.equal(clockOf(answered(renewedMeanwhile, BEGAN + 99_000), BEGAN + 99_500), 500);
  t.end();
});

t.test('its stages are one-way: more time is no lower stage; a raised limit is', (t) => {
  const limit = runtimeOf(100_000);
  const throttled = inStage(call, 'throttled', limit);
  const again = renewed(throttled, BEGAN + 95_000);
  t.equal(stageOfCall(again, limit, BEGAN + 96_000, MARGIN), 'throttled');
  t.equal(stageOfCall(again, limit, BEGAN + 195_000, MARGIN), 'cleanup', 'the next one begins in its time');
  const raised = runtimeOf(1_000_000);
  t.equal(stageOfCall(throttled, raised, BEGAN + 95_000, MARGIN), 'normal');
  t.equal(stageOfCall(throttled, raised, BEGAN + 860_000, MARGIN), 'throttled', 'not within the margin');
  t.equal(
    stageOfCall(throttled, runtimeOf(50_000), BEGAN + 20_000, MARGIN),
    'throttled',
    'a lowered one lowers nothing',
  );
  t.end();
});

t.test('how long until the next stage', (t) => {
  const limit = runtimeOf(100_000, { capMs: 200_000 });
  t.equal(untilNextStageMs(call, limit, BEGAN), 75_000);
  t.equal(untilNextStageMs(call, limit, BEGAN + 80_000), 0, 'never negative');
  t.equal(untilNextStageMs(inStage(call, 'warning', limit), limit, BEGAN + 80_000), 10_000);
  t.equal(untilNextStageMs(asked(call, BEGAN + 10_000), limit, BEGAN + 50_000), 100_000, 'only the cap');
  t.equal(untilNextStageMs(renewed(call, BEGAN + 70_000), limit, BEGAN + 70_000), 75_000);
  t.equal(untilNextStageMs(renewed(call, BEGAN + 100_000), limit, BEGAN + 100_000), 50_000, 'the cap comes first');
  t.equal(untilNextStageMs(inStage(call, 'emergency', limit), limit, BEGAN), null);
  t.end();
});
