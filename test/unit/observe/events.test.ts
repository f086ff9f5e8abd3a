import t from 'tap';
import { EventHub, type NewEvent } from '../../../lib/observe/events.ts';
import type { EventView } from '../../../lib/supervisor/views.ts';

function hub(capacity?: number): { readonly hub: EventHub; readonly errors: unknown[] } {
  const errors: unknown[] = [];
  const options = { daemon: 'daemon-1', wallMs: () => 1_000, onListenerError: (error: unknown) => errors.push(error) };
  return { hub: new EventHub(capacity === undefined ? options : { ...options, capacity }), errors };
}

function event(type: string): NewEvent {
  return { type, tool: null, run: null, data: {} };
}

function publish(target: EventHub, count: number): void {
  for (let index = 0; index < count; index += 1) target.publish(event('tick'));
}

function ids(events: readonly EventView[]): readonly (number | string)[] {
  return events.map(({ type, id }) => (type === 'gap' ? `gap ${id}` : id));
}

t.test('ids rise by one, and events carry daemon and time', (t) => {
  const { hub: target } = hub();
  t.equal(target.lastId, 0);
  const first = target.publish({ type: 'stage', tool: 'a', run: 'r', data: { to: 'warning' } });
  t.strictSame(first, {
    type: 'stage',
    tool: 'a',
    run: 'r',
    data: { to: 'warning' },
    id: 1,
    daemon: 'daemon-1',
    at: '1970-01-01T00:00:01.000Z',
  });
  t.equal(target.publish(event('x')).id, 2);
  t.equal(target.lastId, 2);
  t.end();
});

t.test('events are of one shape, whoever publishes them', (t) => {
  const { hub: target } = hub();
  const one = target.publish(event('x'));
  const reversed = { secret: 1, data: { a: 1 }, run: 'r', tool: 'a', type: 'stage' };
  const other = target.publish(reversed);
  t.strictSame(other.data, { a: 1 });
  t.strictSame(Object.keys(other), Object.keys(one));
  t.notOk('secret' in other);
  t.end();
});

t.test('a listener gets what it asked for: live only, all, or the rest', (t) => {
  const { hub: target } = hub();
  publish(target, 5);
  const [live, all, rest, none]: EventView[][] = [[], [], [], []];
  target.subscribe(null, (view) => live?.push(view));
  target.subscribe(0, (view) => all?.push(view));
  target.subscribe(3, (view) => rest?.push(view));
  target.subscribe(5, (view) => none?.push(view));
  publish(target, 2);
  t.strictSame(ids(live ?? []), [6, 7]);
  t.strictSame(ids(all ?? []), [1, 2, 3, 4, 5, 6, 7]);
  t.strictSame(ids(rest ?? []), [4, 5, 6, 7]);
  t.strictSame(ids(none ?? []), [6, 7]);
  t.end();
});

t.test('the ring keeps so many; who comes from before is told of the gap', (t) => {
  const { hub: target } = hub(10);
  publish(target, 25);
  const seen: EventView[] = [];
  target.subscribe(3, (view) => seen.push(view));
  t.strictSame(ids(seen), ['gap 15', 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
  t.match(seen[0], { daemon: 'daemon-1', data: { reason: 'too_old', missed: 12 } });
  const exact: EventView[] = [];
  target.subscribe(15, (view) => exact.push(view));
  t.strictSame(ids(exact), [16, 17, 18, 19, 20, 21, 22, 23, 24, 25], 'the last one that is whole');
  const back: EventView[] = [];
  target.subscribe(seen[0]?.id ?? null, (view) => back.push(view));
  t.strictSame(ids(back), ids(exact), 'coming back with the id of the gap misses nothing more');
  const negative: EventView[] = [];
  target.subscribe(-7, (view) => negative.push(view));
  t.match(negative[0], { type: 'gap', data: { missed: 15 } });
  t.end();
});

t.test('an id of another daemon is told as such', (t) => {
  const { hub: target } = hub();
  publish(target, 2);
  const ahead: EventView[] = [];
  target.subscribe(900, (view) => ahead.push(view));
  t.strictSame(ids(ahead), ['gap 0', 1, 2]);
  t.match(ahead[0], { data: { reason: 'another_daemon', missed: null } });
  const named: EventView[] = [];
  target.subscribe(1, (view) => named.push(view), 'daemon-0');
  t.strictSame(ids(named), ['gap 0', 1, 2]);
  const same: EventView[] = [];
  target.subscribe(1, (view) => same.push(view), 'daemon-1');
  t.strictSame(ids(same), [2]);
  const { hub: fresh } = hub();
  const early: EventView[] = [];
  fresh.subscribe(7, (view) => early.push(view));
  publish(fresh, 1);
  t.strictSame(ids(early), ['gap 0', 1]);
  t.end();
});

t.test('a disposer ends it, also from within', (t) => {
  const { hub: target } = hub();
  const seen: EventView[] = [];
  const stop = target.subscribe(null, (view) => {
    seen.push(view);
    if (view.id === 2) stop();
  });
  publish(target, 4);
  t.strictSame(ids(seen), [1, 2]);
  t.equal(target.listeners, 0);
  stop();
  t.end();
});

t.test('a listener that throws is dropped and harms nobody', (t) => {
  const { hub: target, errors } = hub();
  const seen: EventView[] = [];
  let calls = 0;
  target.subscribe(null, () => {
    calls += 1;
    throw new Error('listener');
  });
  target.subscribe(null, (view) => seen.push(view));
  publish(target, 3);
  t.equal(calls, 1);
  t.strictSame(ids(seen), [1, 2, 3]);
  t.match(errors, [{ message: 'listener' }]);
  t.equal(target.listeners, 1);
  target.subscribe(0, () => {
    throw new Error('in the replay');
  });
  target.subscribe(900, () => {
    throw new Error('at the gap');
  });
  t.match(errors, [{}, { message: 'in the replay' }, { message: 'at the gap' }]);
  t.equal(target.listeners, 1);
  t.end();
});

t.test('events that a listener publishes come after, in one order for all', (t) => {
  const { hub: target } = hub();
  const [one, two]: EventView[][] = [[], []];
  target.subscribe(null, (view) => {
    one?.push(view);
    if (view.type === 'first') target.publish(event('second'));
    if (view.type === 'second') target.subscribe(0, (late) => two?.push(late));
  });
  const other: EventView[] = [];
  target.subscribe(null, (view) => other.push(view));
  target.publish(event('first'));
  t.strictSame(
    one?.map(({ type }) => type),
    ['first', 'second'],
  );
  t.strictSame(
    other.map(({ type }) => type),
    ['first', 'second'],
  );
  t.strictSame(
    two?.map(({ type }) => type),
    ['first', 'second'],
  );
  t.end();
});

t.test('a listener that publishes more than the ring holds gives the others a gap, not wrong events', (t) => {
  const { hub: target } = hub(5);
  target.subscribe(null, (view) => {
    if (view.type === 'first') publish(target, 20);
  });
  const seen: EventView[] = [];
  target.subscribe(null, (view) => seen.push(view));
  target.publish(event('first'));
  t.strictSame(ids(seen), ['gap 16', 17, 18, 19, 20, 21]);
  t.end();
});
