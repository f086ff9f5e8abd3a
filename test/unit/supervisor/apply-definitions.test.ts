import t from 'tap';
import type { ToolDefinition } from '../../../lib/supervisor/governor.ts';
import { limited } from '../../helpers/fake-ports.ts';
import { stand } from '../../helpers/fake-registry.ts';
import { type DefinitionOverrides, fakeDefinition } from '../../helpers/fake-views.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';

const entry = (name: string, overrides: DefinitionOverrides = {}): ToolDefinition =>
  fakeDefinition(name, { origin: 'file', limits: limited({ memory: 1_000 }), ...overrides });

t.test('what is new comes, what is gone goes, what is the same stays untouched', async (t) => {
  const scene = stand(t);
  for (const name of ['stays', 'goes', 'changes']) scene.tool(name, entry(name));
  const stays = await scene.registry.activate('stays', { context: null });
  const goes = await scene.registry.activate('goes', { context: null });
  const changes = await scene.registry.activate('changes', { context: null });
  scene.define([
    entry('stays'),
    entry('changes', { limits: limited({ memory: 2_000 }) }),
    entry('new', { autostart: true }),
    entry('later'),
  ]);
  const outcome = await scene.registry.reload();
  t.same(outcome, { changed: ['changes'], added: ['new', 'later'], removed: ['goes'], notes: [] });
  t.match(scene.recordsOf('daemon'), [{ event: 'config_reload', detail: outcome }]);
  t.match(scene.registry.run(goes.id), { state: 'ended', end: { reason: 'unregistered' } });
  t.match(scene.registry.run(stays.id), { state: 'running' });
  t.match(scene.registry.run(changes.id), { state: 'running' }, 'changed limits need no new start');
  t.match(scene.recordsOf('limits'), [
    { tool: 'changes', run: changes.id, before: 1_000, after: 2_000, by: 'config reload' },
  ]);
  t.match(scene.trees[2]?.applied, { memory: { limit: 2_000 } });
  await scene.time.pass(10);
  t.same(
    scene.registry.tools().map(({ name, state }) => [name, state]),
    [
      ['stays', 'active'],
      ['changes', 'active'],
      ['new', 'active'],
      ['later', 'registered'],
    ],
  );
});

t.test('what holds only from the next start is said, where there is a run', async (t) => {
  const scene = stand(t);
  scene.tool('running', entry('running'));
  scene.tool('idle', entry('idle'));
  await scene.registry.activate('running', { context: null });
  scene.define([entry('running', { args: ['--other'] }), entry('idle', { args: ['--other'] })]);
  const { changed, notes } = await scene.registry.reload();
  t.same(changed, ['running', 'idle']);
  t.same(notes, ['running: limits hold now; what else changed holds from its next start (governor restart running)']);
  await scene.registry.restart('running');
  t.same(scene.registry.tool('running').command, ['node', '--other']);
});

t.test('who lifted a limit is shown, over reloads', async (t) => {
  const scene = stand(t);
  const lifted = (line: number): ToolDefinition['limits'] => ({
    ...limited({ memory: 1_000 }),
    lifted: { cpu: { from: 'file', detail: `limits.yaml:${line}:1` } },
  });
  const source = (resource: string): unknown =>
    scene.registry.tool('tool').runs[0]?.limits.find((limit) => limit.resource === resource)?.source;
  scene.tool('tool', entry('tool', { limits: lifted(3) }));
  await scene.registry.activate('tool', { context: null });
  t.same(source('cpu'), { from: 'file', detail: 'limits.yaml:3:1' });
  await scene.registry.setLimits('tool', { memory: null }, 'me');
  scene.define([entry('tool', { limits: lifted(9) })]);
  t.same((await scene.registry.reload()).changed, [], 'only the lines moved');
  t.same(source('cpu'), { from: 'file', detail: 'limits.yaml:9:1' });
  t.same(source('memory'), { from: 'api', detail: 'me' }, 'what was lifted by hand stays, and says so');
  scene.define([entry('tool', { limits: limited({ memory: 2_000, cpu: 50 }) })]);
  await scene.registry.reload();
  t.match([source('cpu'), source('memory')], [{ from: 'built-in' }, { from: 'built-in' }]);
  t.match(scene.registry.tool('tool').runs[0]?.limits, [{ limit: 2_000 }, { limit: 50 }]);
});

t.test('a live run stays on the backing that it has, however often the file is read', async (t) => {
  const scene = stand(t);
  scene.tool('tool', entry('tool', { limits: limited({ temp_storage: 1_000 }, { backing: 'tmpfs' }) }));
  const { id } = await scene.registry.activate('tool', { context: null });
  scene.define([entry('tool', { limits: limited({ temp_storage: 2_000 }) })]);
  t.match((await scene.registry.reload()).notes, [/^tool: temp_storage moves to its new backing with its next start/]);
  await scene.registry.reload();
  t.match(scene.registry.live.get('tool')?.runs.get(id)?.run.limits.temp_storage, { limit: 2_000, backing: 'tmpfs' });
});

t.test('a change of the recovery holds at once and needs no note', async (t) => {
  const scene = stand(t);
  scene.tool('tool', entry('tool'));
  await scene.registry.activate('tool', { context: null });
  scene.define([entry('tool', { recovery: { strategy: 'stop', budget: 1, windowMs: 1_000 } })]);
  t.same((await scene.registry.reload()).notes, []);
  scene.launched[0]?.end({ code: 1 });
  await scene.time.pass(1_000);
  t.equal(scene.registry.tool('tool').state, 'registered');
});

t.test("tools of the API and of clients are not the file's to change", async (t) => {
  const scene = stand(t);
  scene.tool('api', { origin: 'api' });
  await scene.launch('direct');
  scene.define([entry('direct'), entry('api', { command: 'other' })]);
  const { added, removed, notes } = await scene.registry.reload();
  t.same([added, removed], [[], []]);
  t.match(notes, [
    /^direct: a tool of this name is registered by run; the entry of the file is left out/,
    /^api: .* registered by api/,
  ]);
  t.equal(scene.registry.tool('api').command[0], 'node');
  scene.define([]);
  t.same((await scene.registry.reload()).removed, []);
});

t.test('what a client gave as a flag is stronger than the file, also after a reload', async (t) => {
  const scene = stand(t);
  scene.tool('tool', entry('tool', { limits: limited({ memory: 1_000, tasks: 100 }) }));
  await scene.launch('tool', {
    limits: {
      ...limited({ memory: 5_000 }, { source: { from: 'flag', detail: '--memory' } }),
      tasks: limited({ tasks: 100 }).tasks,
    },
  });
  scene.define([entry('tool', { limits: limited({ memory: 10, tasks: 50 }) })]);
  t.same(await scene.registry.reload(), { changed: ['tool'], added: [], removed: [], notes: [] });
  t.match(scene.tree.applied, { memory: { limit: 5_000 }, tasks: { limit: 50 } });
  t.match(scene.recordsOf('limits'), [{ resource: 'tasks', before: 100, after: 50, by: 'config reload' }]);
  t.match(scene.registry.tool('tool').limits[0], { resource: 'memory', limit: 10 }, "the tool's own is the file's");
});

t.test('a limit that was set by hand stays until the file says something else, and then that is said', async (t) => {
  const scene = stand(t);
  const written = (limits: Parameters<typeof limited>[0]) =>
    scene.define([entry('tool', { limits: limited(limits, { source: { from: 'file', detail: 'limits.yaml:7:9' } }) })]);
  scene.tool('tool', entry('tool', { limits: limited({ memory: 1_000, sockets: 10 }) }));
  await scene.registry.activate('tool', { context: null });
  await scene.registry.setLimits('tool', { memory: 5_000, sockets: 20 }, 'me');
  scene.records.length = 0;
  written({ memory: 1_000, sockets: 5, tasks: 50 });
  const first = await scene.registry.reload();
  t.same(first.changed, ['tool']);
  t.same(first.notes, ['tool: sockets is 5 from now on (limits.yaml:7:9); it was set to 20 by hand']);
  t.match(scene.recordsOf('daemon'), [{ event: 'config_reload', detail: { notes: first.notes } }], 'in the audit, too');
  t.match(scene.tree.applied, { memory: { limit: 5_000 }, sockets: { limit: 5 }, tasks: { limit: 50 } });
  t.match(
    scene.recordsOf('limits'),
    [
      { resource: 'sockets', before: 20, after: 5, by: 'config reload' },
      { resource: 'tasks', before: null, after: 50 },
    ],
    'what the file says as before leaves the set one alone',
  );
  written({ memory: 900, sockets: 5, tasks: 50 });
  t.match((await scene.registry.reload()).notes, [/^tool: memory is 900 B from now on .*set to 4\.9 KiB by hand$/]);
  t.match(scene.tree.applied, { memory: { limit: 900 } });
  written({ memory: 10, sockets: 5, tasks: 50 });
  t.same((await scene.registry.reload()).notes, [], 'from then on it is the file that counts');
  t.match(scene.registry.tool('tool').limits[0], { limit: 10, source: { from: 'file' } });
});

t.test('a limit set by hand has the stages that the file gives it anew', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', entry('tool'));
  await scene.registry.setLimits('tool', { memory: 5_000 }, 'me');
  const thresholds = { warning: 0.1, throttled: 0.2, cleanup: 0.3, emergency: 0.4 };
  scene.define([entry('tool', { limits: limited({ memory: 1_000 }, { thresholds }) })]);
  t.same((await scene.registry.reload()).notes, []);
  t.match(tool.definition.limits.memory, { limit: 5_000, thresholds, source: { from: 'api' } });
});

t.test('a limit that was lifted by hand stays lifted while the file says the same', async (t) => {
  const scene = stand(t);
  const tool = scene.tool('tool', entry('tool', { limits: limited({ memory: 1_000, tasks: 100 }) }));
  await scene.registry.setLimits('tool', { memory: null }, 'me');
  scene.define([entry('tool', { limits: limited({ memory: 1_000, tasks: 50 }) })]);
  await scene.registry.reload();
  t.match(tool.definition.limits, { memory: null, tasks: { limit: 50 } });
  scene.define([entry('tool', { limits: limited({ memory: 900, tasks: 50 }) })]);
  t.match((await scene.registry.reload()).notes, [/^tool: memory is 900 B .* set to none by hand$/]);
  t.match(tool.definition.limits, { memory: { limit: 900 } }, 'what the file says anew holds');
});

t.test('lines that moved are no change', async (t) => {
  const scene = stand(t);
  const at = (detail: string) =>
    entry('tool', { limits: limited({ memory: 1_000 }, { source: { from: 'file', detail } }) });
  scene.tool('tool', at('limits.yaml:3:1'));
  scene.define([at('limits.yaml:9:1')]);
  t.same((await scene.registry.reload()).changed, []);
  t.match(scene.registry.tool('tool').limits[0]?.source, { detail: 'limits.yaml:9:1' }, 'but are shown where they are');
});

t.test('a tool that was removed with an unproven run comes back only after it is gone', async (t) => {
  const scene = stand(t);
  scene.processes.endsOn = 'nothing';
  scene.tool('tool', entry('tool'));
  await scene.registry.activate('tool', { context: null });
  t.same((await scene.registry.reload()).removed, ['tool']);
  t.equal(scene.registry.tool('tool').state, 'unregistering');
  scene.launched[0]?.end();
  await scene.time.pass(5_000);
  t.throws(() => scene.registry.tool('tool'), isGovernorError('unknown_tool'));
});

t.test('a file that is refused changes nothing', async (t) => {
  const scene = stand(t);
  scene.tool('tool', entry('tool'));
  scene.define([]);
  await scene.registry.close('all');
  await t.rejects(scene.registry.reload(), isGovernorError('shutting_down'));
  t.equal(scene.registry.tools().length, 1);
});

t.test('an added tool that does not start is said', async (t) => {
  const scene = stand(t);
  scene.points.fail('launch', new Error('EAGAIN'), 1);
  scene.define([entry('new', { autostart: true, recovery: { strategy: 'stop', budget: 1, windowMs: 1 } })]);
  t.same((await scene.registry.reload()).added, ['new']);
  await scene.time.pass(10);
  t.same(scene.complaints, ['did not start: EAGAIN']);
});
