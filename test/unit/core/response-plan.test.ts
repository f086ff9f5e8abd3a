import t from 'tap';
import type { Decision } from '../../../lib/core/policy.ts';
import { planResponse } from '../../../lib/core/response-plan.ts';
import type { PlannedStep } from '../../../lib/core/response-plan.ts';
import type { Action } from '../../../lib/core/response.ts';
import type { Stage, ThresholdStage } from '../../../lib/core/ladder.ts';
import { DEFAULT_ACTIONS } from '../../../lib/core/response.ts';
import { limitOf } from './policy-fixture.ts';

const MANAGED = { dryRun: false, mode: 'managed', callsPass: true } as const;

function entering(to: ThresholdStage, cause: 'samples' | 'starvation' = 'samples'): Decision {
  return { kind: 'enter', resource: 'memory', from: 'normal', to, cause, usage: 1, limit: 1, ratio: 1 };
}

function limitWith(actions: readonly Action[]): ReturnType<typeof limitOf> {
  return limitOf('memory', 100, {
    actions: { warning: actions, throttled: actions, cleanup: actions, emergency: actions },
  });
}

function cannot(...impossible: readonly Action[]): (action: Action) => true | { readonly reason: string } {
  return (action) => (impossible.includes(action) ? { reason: `no ${action} here` } : true);
}

t.test('what is planned for configured actions', (t) => {
  const table: readonly (readonly [string, readonly Action[], readonly Action[], readonly string[]])[] = [
    ['none: only tell', [], [], []],
    ['in order', ['notify', 'memory_high'], [], ['notify do', 'memory_high do']],
    [
      'ending last',
      ['recycle', 'notify', 'destroy_stale_sockets'],
      [],
      ['notify do', 'destroy_stale_sockets do', 'recycle do'],
    ],
    ['only the strongest', ['recycle', 'kill', 'stop'], [], ['kill do']],
    ['stop over recycle', ['recycle', 'stop'], [], ['stop do']],
    ['each once', ['notify', 'notify', 'kill', 'kill'], [], ['notify do', 'kill do']],
    [
      'impossible ones are named',
      ['notify', 'memory_high'],
      ['memory_high'],
      ['notify do', 'memory_high unsupported: no memory_high here'],
    ],
    ['the next ending one stands in', ['recycle', 'kill'], ['kill'], ['kill unsupported: no kill here', 'recycle do']],
    ['nice is left out beside a quota', ['notify', 'cpu_quota', 'nice'], [], ['notify do', 'cpu_quota do']],
    [
      'nice stands in for a quota',
      ['cpu_quota', 'nice'],
      ['cpu_quota'],
      ['cpu_quota unsupported: no cpu_quota here', 'nice do'],
    ],
    ['nice alone', ['nice'], [], ['nice do']],
  ];
  for (const [name, actions, impossible, wanted] of table) {
    t.same(
      planResponse(entering('cleanup'), limitWith(actions), cannot(...impossible), MANAGED).steps.map(shorten),
      wanted,
      name,
    );
  }
  t.end();
});

t.test('the actions of the stage that was entered', (t) => {
  const limit = limitOf('memory');
  const planned = (stage: ThresholdStage): readonly string[] =>
    planResponse(entering(stage), limit, cannot(), MANAGED).steps.map(shorten);
  t.same(planned('warning'), ['notify do']);
  t.same(planned('throttled'), ['notify do', 'memory_high do']);
  t.same(planned('cleanup'), ['recycle do']);
  t.same(planned('emergency'), ['kill do']);
  t.end();
});

t.test('usage that jumps gets the notice and the brakes of the stages that it passed over', (t) => {
  const limit = limitOf('cpu', 100, { actions: DEFAULT_ACTIONS.cpu });
  const planned = (from: Stage, to: ThresholdStage): readonly string[] =>
    planResponse({ ...entering(to), from } as Decision, limit, cannot(), MANAGED).steps.map(shorten);
  t.same(
    planned('normal', 'emergency'),
    ['notify do', 'cpu_quota do'],
    'a busy tool is not let off because it is very busy, and told once',
  );
  t.same(planned('warning', 'cleanup'), ['notify do', 'cpu_quota do']);
  t.same(planned('normal', 'throttled'), ['notify do', 'cpu_quota do'], 'told once where the stage itself tells');
  t.same(planned('throttled', 'cleanup'), [], 'it is held back already');
  const ending = limitOf('memory', 100);
  t.same(
    planResponse(entering('cleanup'), ending, cannot(), MANAGED).steps.map(shorten),
    ['recycle do'],
    'what ends needs no brake',
  );
  t.same(
    planResponse(entering('cleanup'), ending, cannot('recycle'), MANAGED).steps.map(shorten),
    ['notify do', 'memory_high do', 'recycle unsupported: no recycle here'],
    'unless it cannot be ended',
  );
  t.end();
});

t.test('dry run: the same plan, nothing done; what is impossible stays so', (t) => {
  const steps = planResponse(entering('cleanup'), limitWith(['notify', 'memory_high', 'kill']), cannot('memory_high'), {
    dryRun: true,
    mode: 'managed',
    callsPass: true,
  }).steps;
  t.same(steps.map(shorten), ['notify dry_run', 'memory_high unsupported: no memory_high here', 'kill dry_run']);
  t.end();
});

t.test('direct: the client owns the process, so a recycle is a stop', (t) => {
  const plan = (actions: readonly Action[]): readonly string[] =>
    planResponse(entering('cleanup'), limitWith(actions), cannot(), {
      dryRun: false,
      mode: 'direct',
      callsPass: false,
    }).steps.map(shorten);
  t.same(plan(['recycle']), ['stop do']);
  t.same(plan(['recycle', 'stop']), ['stop do']);
  t.same(plan(['kill']), ['kill do']);
  t.end();
});

t.test('starvation recycles, whatever CPU usage at that stage does', (t) => {
  t.same(planResponse(entering('cleanup', 'starvation'), limitOf('cpu'), cannot(), MANAGED).steps.map(shorten), [
    'recycle do',
  ]);
  const byUsage = { ...entering('cleanup'), from: 'throttled' } as Decision;
  t.same(planResponse(byUsage, limitOf('cpu'), cannot(), MANAGED).steps, [], 'usage alone only tells');
  t.same(
    planResponse(entering('cleanup', 'starvation'), limitWith(['notify', 'stop']), cannot(), MANAGED).steps.map(
      shorten,
    ),
    ['notify do', 'stop do'],
    'a configured end is kept',
  );
  t.end();
});

t.test('repeat plans the same again, leave plans nothing', (t) => {
  t.same(
    planResponse(
      { ...entering('cleanup'), kind: 'repeat', from: 'cleanup' } as Decision,
      limitWith(['kill']),
      cannot(),
      MANAGED,
    ).steps.map(shorten),
    ['kill do'],
  );
  const leave: Decision = {
    kind: 'leave',
    resource: 'memory',
    from: 'cleanup',
    to: 'normal',
    usage: 1,
    limit: 1,
    ratio: 1,
  };
  t.same(planResponse(leave, limitWith(['kill']), cannot(), MANAGED).steps, []);
  t.end();
});

function shorten(step: PlannedStep): string {
  return step.status === 'unsupported' ? `${step.action} unsupported: ${step.reason}` : `${step.action} ${step.status}`;
}
