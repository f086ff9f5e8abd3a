import t from 'tap';
import { ERRORS } from '../../../lib/core/errors.ts';
import { transition, TRANSITIONS } from '../../../lib/core/tool-state.ts';
import type { Cell, LifecycleState, ToolEvent } from '../../../lib/core/tool-state.ts';

/** `state: effects`, `ignore`, or `refuse CODE`; the columns are the states below. */
const STATES = [
  'registered',
  'activating',
  'active',
  'deactivating',
  'recovering',
  'failed',
  'unregistering',
  'gone',
] as const;
const PIN: Readonly<Record<ToolEvent, readonly string[]>> = {
  activate_requested: [
    'activating: start_run',
    'activating: start_run',
    'active: start_run',
    'refuse illegal_state',
    'activating: cancel_recovery start_run',
    'refuse breaker_open',
    'refuse illegal_state',
    'refuse unknown_tool',
  ],
  run_started: [
    'active:',
    'active:',
    'active:',
    'deactivating: stop_all_runs',
    'active: cancel_recovery',
    'failed: stop_all_runs',
    'unregistering: stop_all_runs',
    'gone: stop_all_runs',
  ],
  launch_failed: ['ignore', 'registered:', 'ignore', 'registered:', 'ignore', 'ignore', 'gone: forget_tool', 'ignore'],
  last_run_ended: [
    'ignore',
    'registered:',
    'registered:',
    'registered:',
    'ignore',
    'ignore',
    'gone: forget_tool',
    'ignore',
  ],
  run_ended: ['ignore', 'activating:', 'active:', 'deactivating:', 'ignore', 'ignore', 'unregistering:', 'ignore'],
  deactivate_requested: [
    'ignore',
    'deactivating: stop_all_runs',
    'deactivating: cancel_recovery stop_all_runs',
    'ignore',
    'registered: cancel_recovery',
    'ignore',
    'ignore',
    'refuse unknown_tool',
  ],
  recovery_scheduled: [
    'recovering: schedule_recovery',
    'ignore',
    'active: schedule_recovery',
    'ignore',
    'ignore',
    'ignore',
    'ignore',
    'ignore',
  ],
  recovery_due: [
    'ignore',
    'ignore',
    'active: start_run',
    'ignore',
    'activating: start_run',
    'ignore',
    'ignore',
    'ignore',
  ],
  recovery_gave_up: ['failed:', 'ignore', 'ignore', 'ignore', 'failed: cancel_recovery', 'ignore', 'ignore', 'ignore'],
  reset_requested: [
    'ignore',
    'ignore',
    'ignore',
    'ignore',
    'ignore',
    'registered:',
    'refuse illegal_state',
    'refuse unknown_tool',
  ],
  unregister_requested: [
    'gone: forget_tool',
    'unregistering: stop_all_runs',
    'unregistering: cancel_recovery stop_all_runs',
    'unregistering: stop_all_runs',
    'gone: cancel_recovery forget_tool',
    'gone: forget_tool',
    'ignore',
    'refuse unknown_tool',
  ],
  stop_unproven: [
    'deactivating:',
    'deactivating:',
    'active: cancel_recovery',
    'deactivating:',
    'deactivating: cancel_recovery',
    'ignore',
    'unregistering:',
    'ignore',
  ],
  stop_proven: ['ignore', 'activating:', 'active:', 'deactivating:', 'ignore', 'ignore', 'unregistering:', 'ignore'],
};
const EVENTS = Object.keys(PIN) as ToolEvent[];

t.test('every state × event pair', (t) => {
  t.same(Object.keys(TRANSITIONS), STATES, 'states');
  for (const [column, state] of STATES.entries()) {
    t.same(Object.keys(TRANSITIONS[state]), EVENTS, `${state}: events`);
    for (const event of EVENTS) t.equal(shorten(transition(state, event)), PIN[event][column], `${state} × ${event}`);
  }
  t.end();
});

t.test('every ignored pair says why, every refusal has a code', (t) => {
  for (const state of STATES) {
    for (const event of EVENTS) {
      const cell = transition(state, event);
      if ('ignore' in cell) t.match(cell.ignore, /^[a-z].{8,}[^.]$/, `${state} × ${event}`);
      if ('refuse' in cell) t.ok(cell.refuse in ERRORS, `${state} × ${event}`);
    }
  }
  t.end();
});

t.test('rules over all paths', (t) => {
  const reached = new Set<LifecycleState>(['registered']);
  for (let size = 0; size !== reached.size;) {
    size = reached.size;
    for (const state of reached) for (const event of EVENTS) reached.add(follow(state, event));
  }
  t.same([...reached].toSorted(), [...STATES].toSorted(), 'every state can be reached');
  for (const state of STATES) {
    for (const event of EVENTS) {
      const cell = transition(state, event);
      if (!('to' in cell)) continue;
      const { effects } = cell;
      if (state === 'gone') t.equal(cell.to, 'gone', `${event}: gone is the end`);
      if (effects.includes('start_run'))
        t.ok(['activating', 'active'].includes(cell.to), `${state} × ${event}: a start only into a live state`);
      if (effects.includes('forget_tool')) t.equal(cell.to, 'gone', `${state} × ${event}: forgotten when gone`);
      if (cell.to === 'gone' && state !== 'gone')
        t.ok(effects.includes('forget_tool'), `${state} × ${event}: gone is forgotten`);
      if (state === 'recovering' && cell.to !== 'recovering' && event !== 'recovery_due') {
        t.ok(effects.includes('cancel_recovery'), `${state} × ${event}: the timer does not outlive the state`);
      }
      if (effects.includes('start_run') && effects.includes('stop_all_runs')) t.fail(`${state} × ${event}`);
    }
  }
  t.end();
});

t.test('lives of a tool', (t) => {
  const table: readonly (readonly [string, readonly ToolEvent[], LifecycleState])[] = [
    [
      'plain',
      ['activate_requested', 'run_started', 'deactivate_requested', 'last_run_ended', 'unregister_requested'],
      'gone',
    ],
    [
      'unregister of an active tool deactivates first',
      ['activate_requested', 'run_started', 'unregister_requested'],
      'unregistering',
    ],
    [
      '… and then goes',
      ['activate_requested', 'run_started', 'unregister_requested', 'run_ended', 'last_run_ended'],
      'gone',
    ],
    [
      'crash and recovery',
      ['activate_requested', 'run_started', 'last_run_ended', 'recovery_scheduled', 'recovery_due', 'run_started'],
      'active',
    ],
    ['crash and no more', ['activate_requested', 'run_started', 'last_run_ended', 'recovery_gave_up'], 'failed'],
    ['failed start', ['activate_requested', 'launch_failed', 'recovery_scheduled'], 'recovering'],
    [
      'someone starts it during the back-off; the late timer starts nothing',
      [
        'activate_requested',
        'run_started',
        'last_run_ended',
        'recovery_scheduled',
        'activate_requested',
        'recovery_due',
      ],
      'activating',
    ],
    [
      'one of two runs ends',
      ['activate_requested', 'run_started', 'activate_requested', 'run_started', 'run_ended'],
      'active',
    ],
    [
      'a stop that is not proven',
      ['activate_requested', 'run_started', 'deactivate_requested', 'stop_unproven'],
      'deactivating',
    ],
    [
      '… and is later',
      ['activate_requested', 'run_started', 'deactivate_requested', 'stop_unproven', 'stop_proven', 'last_run_ended'],
      'registered',
    ],
    ['adopted after a crash of the daemon', ['run_started'], 'active'],
    ['breaker reset', ['recovery_gave_up', 'activate_requested', 'reset_requested'], 'registered'],
  ];
  for (const [name, events, end] of table) t.equal(events.reduce<LifecycleState>(follow, 'registered'), end, name);
  t.end();
});

function follow(state: LifecycleState, event: ToolEvent): LifecycleState {
  const cell = transition(state, event);
  return 'to' in cell ? cell.to : state;
}

function shorten(cell: Cell): string {
  if ('ignore' in cell) return 'ignore';
  if ('refuse' in cell) return `refuse ${cell.refuse}`;
  return [`${cell.to}:`, ...cell.effects].join(' ');
}
