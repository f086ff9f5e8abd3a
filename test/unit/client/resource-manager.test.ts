import t from 'tap';
import { spawnSync } from 'node:child_process';
import { inspect } from 'node:util';
import type { ResourceCleanupError } from '../../../lib/client/cleanup-error.ts';
import type { ResourceManagerOptions } from '../../../lib/client/pool-types.ts';
import { ResourceManager, resourceManager } from '../../../lib/client/resource-manager.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { manualTime, settled } from '../../helpers/manual-time.ts';
import { gate, pool, type Named } from '../../helpers/pool.ts';

t.test('made when it is first asked for, once for all who ask', async (t) => {
  const { manager, make, log } = pool();
  t.same(log, []);
  const both = await Promise.all([
    manager.getResource('k', 't', ...make('one')),
    manager.getResource('k', 't', ...make('two')),
  ]);
  t.equal(both[0], both[1]);
  t.same(log, ['made one']);
  t.equal(await manager.getResource('k', 't', ...make('three')), both[0]);
  t.same(log, ['made one']);
  t.match(manager.statistics(), { resources: 1, created: 1, reused: 2, creating: 0, byType: { t: 1 } });
});

t.test('keyed by type and key, never by the two in a row', async (t) => {
  const { manager, make, log } = pool();
  for (const [type, key] of [
    ['a', 'b:c'],
    ['a:b', 'c'],
    ['a:b:c', ''],
    ['a","b', 'c'],
    ['a', 'b","c'],
    ['__proto__', 'constructor'],
  ] as const)
    await manager.getResource(key, type, ...make(`${type} ${key}`));
  t.equal(new Set(log).size, 6);
  t.equal(manager.statistics().resources, 6);
  await t.rejects(manager.getResource('k', '', ...make('x')), isGovernorError('invalid_request'));
  await t.rejects(manager.getResource(7 as unknown as string, 't', ...make('x')), isGovernorError('invalid_request'));
});

t.test('a factory that fails: every waiter of that time hears it, the next call tries again', async (t) => {
  const { manager, make } = pool();
  const failure = new Error('refused');
  let calls = 0;
  const factory = async (): Promise<never> => {
    calls++;
    await settled(1);
    throw failure;
  };
  const waiters = [1, 2, 3].map(() => manager.getResource('k', 't', factory, () => undefined));
  for (const { status, reason } of (await Promise.allSettled(waiters)) as PromiseRejectedResult[]) {
    t.equal(status, 'rejected');
    t.equal(reason, failure, 'the very error');
  }
  t.equal(calls, 1);
  await t.rejects(
    manager.lease(
      'k',
      't',
      () => {
        throw failure;
      },
      () => undefined,
    ),
    failure,
    'thrown at once',
  );
  t.same(await manager.getResource('k', 't', ...make('good')), { name: 'good' });
  t.match(manager.statistics(), { resources: 1, failedFactories: 2, created: 1, leases: 0 });
});

t.test('a factory may ask the pool for others', async (t) => {
  const { manager, make, log } = pool();
  const outer = await manager.getResource(
    'outer',
    't',
    async () => ({ inner: await manager.lease('inner', 't', ...make('inner')) }),
    ({ inner }) => {
      log.push('outer cleaned');
      inner.release();
    },
  );
  t.same(outer.inner.resource, { name: 'inner' });
  t.match(await manager.destroyAllNow(), { destroyed: 2, errors: [] });
  t.same(log, ['made inner', 'outer cleaned', 'cleaned inner'], 'what is leased goes after what leased it');
});

t.test('what is idle is destroyed, what is in use is not', async (t) => {
  const { manager, make, log, clock } = pool({ idleMs: 1_000 });
  await manager.getResource('plain', 't', ...make('plain'));
  const lease = await manager.lease('leased', 't', ...make('leased'));
  const second = await manager.lease('leased', 't', ...make('leased'));
  clock.advance(999);
  t.match(await manager.destroyIdle(), { destroyed: 0, error: null });
  await manager.getResource('plain', 't', ...make('plain'));
  clock.advance(999);
  t.match(await manager.destroyIdle(), { destroyed: 0 }, 'asked for since');
  clock.advance(1_000_000);
  t.match(await manager.destroyIdle(), { destroyed: 1, errors: [] });
  t.same(log, ['made plain', 'made leased', 'cleaned plain']);
  lease.release();
  lease.release();
  t.match(await manager.destroyIdle(), { destroyed: 0 }, 'released twice counts once, and the other still holds it');
  await second[Symbol.asyncDispose]();
  t.match(await manager.destroyIdle(), { destroyed: 0 }, 'it was in use until now');
  clock.advance(1_000);
  t.match(await manager.destroyIdle(), { destroyed: 1 });
  t.match(manager.statistics(), { resources: 0, inUse: 0, leases: 0, destroyed: 2, leaving: 0 });
});

t.test('await using', async (t) => {
  const { manager, make } = pool();
  {
    await using lease = await manager.lease('k', 't', ...make('k'));
    t.same(lease.resource, { name: 'k' });
    t.match(manager.statistics(), { inUse: 1, leases: 1 });
  }
  t.match(manager.statistics(), { resources: 1, inUse: 0, leases: 0 });
});

t.test('who waits for a resource that is being made holds it already', async (t) => {
  const { manager, clock, log } = pool({ idleMs: 0 });
  const made = gate<Named>();
  const waiting = manager.lease(
    'k',
    't',
    () => made.passed,
    () => log.push('cleaned'),
  );
  clock.advance(1_000_000);
  await manager.destroyIdle();
  made.open({ name: 'late' });
  const lease = await waiting;
  await manager.destroyIdle();
  t.same(log, []);
  t.same(lease.resource, { name: 'late' });
});

t.test('one that is made anew waits until the old one is cleaned up', async (t) => {
  const { manager, make, log } = pool({ idleMs: 0 });
  const cleaned = gate<undefined>();
  await manager.getResource('k', 't', make('old')[0], async () => {
    log.push('cleaning');
    await cleaned.passed;
    log.push('cleaned old');
  });
  const sweep = manager.destroyIdle();
  const next = manager.getResource('k', 't', ...make('new'));
  const other = manager.getResource('other', 't', ...make('other'));
  await settled();
  t.same(log, ['made old', 'cleaning', 'made other'], 'nobody else waits');
  cleaned.open(undefined);
  await Promise.all([sweep, next, other]);
  t.same(log.slice(-2), ['cleaned old', 'made new']);
});

t.test('discard: not handed out any more, destroyed when it is free', async (t) => {
  const { manager, make, log } = pool();
  t.equal(manager.discard('k', 't'), false);
  const lease = await manager.lease('k', 't', ...make('broken'));
  t.equal(manager.discard('k', 't'), true);
  t.match(manager.statistics(), { resources: 0, leaving: 1, inUse: 1 });
  t.same(await manager.getResource('k', 't', ...make('fresh')), { name: 'fresh' }, 'not held up by one that is in use');
  t.same(log, ['made broken', 'made fresh']);
  lease.release();
  await settled();
  t.same(log, ['made broken', 'made fresh', 'cleaned broken']);
  t.match(manager.statistics(), { resources: 1, leaving: 0, destroyed: 1 });
});

t.test('destroyAllNow: what is in use is waited for, and not destroyed at the deadline either', async (t) => {
  const { manager, make, log } = pool();
  await manager.getResource('free', 'db', ...make('free'));
  const soon = await manager.lease('soon-released', 'db', ...make('soon'));
  const late = await manager.lease('late-released', 'db', ...make('late'));
  const factory = gate<Named>();
  const refused = t.rejects(
    manager.getResource(
      'unmade-key',
      'db',
      () => factory.passed,
      () => log.push('cleaned unmade'),
    ),
    {
      code: 'illegal_state',
      message: 'db ****-key was to be destroyed while it was being made',
    },
  );
  await manager.getResource('hanging-key', 'db', make('hanging')[0], () => new Promise(() => undefined));
  const destroying = manager.destroyAllNow({ deadlineMs: 50 });
  soon.release();
  const report = await destroying;
  t.equal(report.destroyed, 2);
  t.same(report.errors.map(({ problem, message }) => [problem, message]).sort(), [
    ['in_use', 'db ****ased: 1 leases hold it'],
    ['not_made', 'db ****-key: its factory has not ended yet'],
    ['timed_out', 'db ****-key: its cleanup has not ended yet'],
  ]);
  t.type(report.error, AggregateError);
  t.equal(report.error?.message, '3 of 5 resources were not cleaned up');
  t.notOk(log.includes('cleaned late'), 'nothing in use is destroyed');
  late.release();
  factory.open({ name: 'unmade' });
  await refused;
  await settled();
  t.ok(log.includes('cleaned late'), 'but as soon as it is free');
  t.ok(log.includes('cleaned unmade'), 'nobody ever had it');
  t.same(await manager.getResource('free', 'db', ...make('again')), { name: 'again' }, 'the manager goes on');
});

t.test('destroyAllNow twice, and of nothing', async (t) => {
  const { manager, make, log } = pool();
  t.match(await manager.destroyAllNow(), { destroyed: 0, errors: [], error: null });
  const cleaned = gate<undefined>();
  await manager.getResource('k', 't', make('k')[0], () => cleaned.passed.then(() => log.push('cleaned')));
  const twice = [manager.destroyAllNow(), manager.destroyAllNow()];
  await settled();
  cleaned.open(undefined);
  t.match(await Promise.all(twice), [{ destroyed: 1 }, { destroyed: 1 }], 'the second waits for the same');
  t.same(log, ['made k', 'cleaned']);
  t.equal(manager.statistics().destroyed, 1);
  await t.rejects(manager.destroyAllNow({ deadlineMs: -1 }), isGovernorError('invalid_request'));
});

t.test('errors of cleanups are collected, told and kept from nobody', async (t) => {
  const told: ResourceCleanupError[] = [];
  const { manager, make } = pool({
    onCleanupError: (error) => {
      told.push(error);
      throw new Error('listener');
    },
    idleMs: 0,
  });
  const failure = new Error('ECONNRESET');
  await manager.getResource('sk-1234567890abcdef', 'api', make('a')[0], () => {
    throw failure;
  });
  await manager.getResource('other-key', 'api', make('b')[0], async () => {
    throw 'a string';
  });
  await manager.getResource('third-key', 'api', ...make('c'));
  const report = await manager.destroyIdle();
  t.equal(report.destroyed, 1, 'one that fails keeps no other');
  t.same(
    report.errors.map(({ message }) => message),
    ['api ****cdef: ECONNRESET', 'api ****-key: a string'],
  );
  t.equal(report.errors[0]?.cause, failure);
  t.match(report.errors[0], { name: 'ResourceCleanupError', problem: 'failed', type: 'api', key: '****cdef' });
  t.same(report.error?.errors, report.errors);
  t.same(told, report.errors);
  t.same(manager.takeErrors(), report.errors);
  t.same(manager.takeErrors(), [], 'taken once');
  t.equal(manager.statistics().cleanupErrors, 2);
});

t.test('no error shows a key', async (t) => {
  const { manager, make } = pool({ idleMs: 0 });
  const key = 'sk-live-1234567890';
  await manager.getResource(key, 'api', make('a')[0], () => {
    throw Object.assign(new Error(`cannot close ${key}`), { key });
  });
  const { errors, error } = await manager.destroyIdle();
  t.equal(errors[0]?.message, 'api ****7890: cannot close ****7890');
  t.notMatch(inspect([errors, error], { depth: 10 }), key);
});

t.test('of very many failures the latest hundred are kept', async (t) => {
  const { manager, make } = pool({ idleMs: 0 });
  for (let index = 0; index < 120; index++)
    await manager.getResource(`key-number-${index}`, 't', make('x')[0], () => {
      throw new Error(String(index));
    });
  await manager.destroyIdle();
  const kept = manager.takeErrors();
  t.equal(kept.length, 100);
  t.match(kept.at(-1)?.message, / 119$/);
  t.equal(manager.statistics().cleanupErrors, 120);
});

t.test('a cleanup that hangs is given up and said', async (t) => {
  const { manager, make } = pool({ idleMs: 0, cleanupTimeoutMs: 20 });
  await manager.getResource('hanging-key', 't', make('x')[0], () => new Promise(() => undefined));
  // The timer keeps no process alive, this one does.
  const alive = setInterval(() => undefined, 1_000);
  const { errors } = await manager.destroyIdle();
  clearInterval(alive);
  t.match(errors, [{ problem: 'timed_out', message: 't ****-key: its cleanup took longer than 20 ms' }]);
  t.same(await manager.getResource('hanging-key', 't', ...make('new')), { name: 'new' });
});

t.test('the timer: by RESOURCE_CLEANUP_INTERVAL, stopped and started', async (t) => {
  const {
    manager,
    make,
    log,
    clock: time,
  } = pool({ environment: { RESOURCE_CLEANUP_INTERVAL: '1000' } }, manualTime(t));
  t.equal(time.pending, 0, 'nothing runs before there is anything');
  await manager.getResource('k', 't', ...make('k'));
  await time.pass(500);
  await manager.getResource('k', 't', ...make('k'));
  await time.pass(500);
  t.same(log, ['made k'], 'used since the last look');
  await time.pass(1_000);
  t.same(log, ['made k', 'cleaned k'], 'idle for one interval at least, two at most');
  t.equal(time.pending, 0, 'and nothing runs any more');
  manager.stopCleanupTimer();
  await manager.getResource('k', 't', ...make('k2'));
  await time.pass(1_000_000);
  t.equal(time.pending, 0);
  t.same(log.slice(2), ['made k2']);
  manager.startCleanupTimer();
  await time.pass(1_000);
  t.same(log.slice(3), ['cleaned k2']);
});

t.test('the default interval is five minutes', async (t) => {
  const { manager, make, log, clock: time } = pool({}, manualTime(t));
  await manager.getResource('k', 't', ...make('k'));
  await time.pass(299_999);
  t.same(log, ['made k']);
  await time.pass(1);
  t.same(log, ['made k', 'cleaned k']);
});

t.test('bad times', async (t) => {
  for (const options of [
    { idleMs: -1 },
    { cleanupIntervalMs: 0 },
    { cleanupTimeoutMs: Number.NaN },
    { cleanupIntervalMs: 2 ** 31 },
  ] satisfies ResourceManagerOptions[])
    t.throws(() => new ResourceManager(options), isGovernorError('invalid_request'), JSON.stringify(options));
  const { manager, make, log } = pool({ environment: { RESOURCE_CLEANUP_INTERVAL: '5min' } });
  for (let turn = 0; turn < 2; turn++)
    await t.rejects(manager.getResource('k', 't', ...make('k')), {
      code: 'invalid_config',
      message: /RESOURCE_CLEANUP_INTERVAL is "5min"/,
    });
  t.same(log, [], 'nothing is made that would never be cleaned up');
});

t.test('the singleton', async (t) => {
  t.type(resourceManager, ResourceManager);
  t.equal(
    await resourceManager.getResource(
      'k',
      't',
      () => 7,
      () => undefined,
    ),
    7,
  );
  t.match(await resourceManager.destroyAllNow(), { destroyed: 1 });
  resourceManager.stopCleanupTimer();
});

t.test('disposing of a pool says what was not cleaned up', async (t) => {
  const { manager, make } = pool();
  await manager.getResource('some-long-key', 't', make('x')[0], () => {
    throw new Error('busy');
  });
  await t.rejects(
    async () => {
      await using all = manager;
      void all;
    },
    { name: 'AggregateError', errors: [{ message: 't ****-key: busy' }] },
  );
});

t.test('neither the timer nor an idle cleanup keeps a process alive; a failure is a warning on stderr', async (t) => {
  const url = new URL('../../../lib/client/resource-manager.js', import.meta.url).href;
  const script = `
    import { resourceManager } from ${JSON.stringify(url)};
    await resourceManager.getResource('first-key', 't', () => 1, () => new Promise(() => {}));
    await resourceManager.getResource('other-key', 'db', () => 1, () => { throw new Error('is closed already'); });
    void resourceManager.destroyIdle(0);
    console.log('end of script');
  `;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.match(child, { status: 0, stdout: 'end of script\n' });
  t.match(child.stderr, /ResourceCleanupError: db \*\*\*\*-key: is closed already/);
});
