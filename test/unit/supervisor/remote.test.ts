/** Tools that are servers elsewhere: a life like any, and nothing here. */

import t from 'tap';
import { GovernorError } from '../../../lib/core/errors.ts';
import { NO_LIMITS } from '../../../lib/core/limits.ts';
import { stand, type Stand } from '../../helpers/fake-registry.ts';
import type { WorldOptions } from '../../helpers/fake-ports.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import type { TestScope } from '../../helpers/fixture.ts';
import type { Tool } from '../../../lib/supervisor/tool.ts';

const URL = 'https://example.org/mcp?token=sesame';

function remote(
  t: TestScope,
  ports: Pick<WorldOptions, 'signIn'> = {},
): { readonly scene: Stand; readonly tool: Tool } {
  const scene = stand(t, {
    ...ports,
    connect: {
      async connect(process, { definition }) {
        if (process !== null || definition.remote === undefined) throw new Error('this is no server elsewhere');
        scene.points.say(`connected to ${definition.remote.url}`);
        await scene.points.pass('connect');
        return {
          server: { name: 'elsewhere', version: '1', protocol: '2025-11-25', tools: ['search'] },
          close: async () => scene.points.say('session ended'),
        };
      },
    },
  });
  const tool = scene.tool('docs', {
    command: URL,
    args: [],
    remote: { url: URL, headers: { Authorization: 'Bearer secret' } },
    readiness: 'mcp',
    limits: NO_LIMITS,
    recovery: { strategy: 'restart', budget: 1, windowMs: 600_000 },
  });
  return { scene, tool };
}

t.test('it is seen, with readings that are unsupported and nothing that holds it', async (t) => {
  const { scene, tool } = remote(t);
  const before = scene.registry.tool('docs');
  t.ok(before.limits.every(({ limit, enforcement }) => limit === null && enforcement === 'none'));
  t.ok(scene.registry.usageOf('docs').resources.every(({ quality }) => quality === 'unsupported'));
  await tool.activate(null);
  await scene.time.pass(5_000);
  const view = scene.registry.tool('docs');
  t.match(view, { state: 'active', server: { name: 'elsewhere', tools: ['search'] } });
  t.match(view.runs, [{ state: 'running', pid: null, governed: false, notGovernedReason: 'it runs on another host' }]);
  t.ok(view.limits.every(({ enforcement }) => enforcement === 'none'));
  const { resources } = scene.registry.usageOf('docs');
  t.same(
    resources.filter(({ resource }) => resource !== 'runtime').map(({ usage, quality }) => [usage, quality]),
    Array.from({ length: 6 }, () => [null, 'unsupported']),
  );
  t.notMatch(JSON.stringify([view, scene.records]), /sesame|secret/);
  t.same([scene.launched.length, scene.trees.length, scene.tempDirs.size, scene.ledger.size], [0, 0, 0, 0]);
  await t.rejects(scene.registry.setLimits('docs', { memory: 1 }, 'test'), isGovernorError('unsupported'));
});

t.test('a stop ends its session; sleep is no failure', async (t) => {
  const { scene, tool } = remote(t);
  const run = await tool.start({ context: 'a', onDemand: true });
  await tool.stop('idle', 'put to sleep', run.id);
  t.same(scene.points.log, [`connected to ${URL}`, 'session ended']);
  t.match(scene.registry.runs('docs'), [{ state: 'ended', end: { reason: 'idle', cleanup: { proven: true } } }]);
  t.equal(tool.state, 'registered');
  t.equal(scene.recordsOf('recovery').length, 0);
});

t.test('a server that cannot be reached is tried again with back-off, then held back', async (t) => {
  const { scene, tool } = remote(t);
  scene.points.fail('connect', new Error('connect ECONNREFUSED'));
  await t.rejects(tool.activate(null), { message: 'connect ECONNREFUSED' });
  t.equal(tool.state, 'recovering');
  t.match(tool.lastEnd, { reason: 'not_ready', message: 'did not become ready: connect ECONNREFUSED' });
  await scene.time.pass(1_000);
  t.equal(tool.state, 'failed');
  await t.rejects(tool.start({ context: 'a', onDemand: true }), isGovernorError('breaker_open'));
});

t.test('somebody has to sign in: nothing is started, nothing is charged', async (t) => {
  let problem: string | null = 'sign in: governor login docs';
  const view = { how: 'browser', state: 'needed', message: problem, issuer: null, signedInAt: null } as const;
  const signIn = { problem: () => problem, view: () => view };
  const { scene, tool } = remote(t, { signIn });
  const refused = { code: 'sign_in_needed', message: 'docs: sign in: governor login docs', data: { tool: 'docs' } };
  for (let i = 0; i < 5; i++) {
    await t.rejects(tool.start({ context: 'a', onDemand: true }), refused);
    await t.rejects(tool.activate(null), refused);
  }
  t.match(scene.registry.tool('docs'), { state: 'registered', runs: [], lastEnd: null, signIn: view });
  t.same([scene.recordsOf('lifecycle').length, scene.recordsOf('recovery').length], [1, 0]);

  problem = null;
  const lost = new GovernorError('sign_in_needed', 'sign in: governor login docs');
  for (let i = 0; i < 5; i++) {
    scene.points.fail('connect', lost, 1);
    await t.rejects(tool.start({ context: 'a', onDemand: true }), { code: 'sign_in_needed' });
    t.match(tool.lastEnd, { reason: 'sign_in', message: 'sign in: governor login docs' });
    scene.points.fail('connect', lost, 1);
    await t.rejects(tool.activate(null), { code: 'sign_in_needed' });
  }
  t.equal(tool.state, 'registered', 'and nothing is scheduled');
  await tool.start({ context: 'a', onDemand: true });
  await tool.stop('sign_in', 'somebody signed out');
  t.equal(tool.state, 'registered');
  t.same(scene.recordsOf('recovery'), []);
  t.match(scene.registry.tool('docs').recovery, { attempts: 0, nextAttemptAt: null });
});
