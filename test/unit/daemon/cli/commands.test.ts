import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { BudgetView } from '../../../../lib/supervisor/views.ts';
import { governor, temporaryFolder, type Outcome, type TerminalChanges } from './harness.ts';
import { GovernorError } from '../../../../lib/core/errors.ts';
import type { EndReason } from '../../../../lib/core/audit-record.ts';
import type { Stage } from '../../../../lib/core/ladder.ts';
import type { Resource } from '../../../../lib/core/resource.ts';
import { DEFAULT_ACTIONS } from '../../../../lib/core/response.ts';
import type { EndView, ResourceUsageView, ToolView } from '../../../../lib/supervisor/views.ts';
import { FAKE_HOST, fakeDefinition } from '../../../helpers/fake-views.ts';
import { identityOf } from '../../../helpers/survivors.ts';
import { pause, waitFor } from '../../../helpers/wait-for.ts';
import { serve } from '../api/serve.ts';
import type { Overrides, Served } from '../api/serve.ts';

interface Daemon extends Served {
  readonly stateDir: string;
  readonly cli: (words: readonly string[], changes?: TerminalChanges) => Promise<Outcome>;
}

/** The real API around a governor in memory; the command line reaches it over its unix socket. */
async function daemon(t: Parameters<typeof serve>[0], overrides: Overrides = {}): Promise<Daemon> {
  const served = await serve(t, overrides);
  const stateDir = dirname(served.socketPath);
  return {
    ...served,
    stateDir,
    cli: (words, changes = {}) => governor(words, { env: { GOVERNOR_STATE_DIR: stateDir }, ...changes }),
  };
}

t.test('ls', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: 'session 1' });
  const { code, out, err } = await cli(['ls']);
  t.match({ code, err }, { code: 0, err: /^$/ });
  const [title, echo, naive] = out.split('\n');
  t.match(title, /^NAME +STATE +STAGE +RUNS +PID +UP +CONTEXT +NOTE$/);
  t.match(echo, /^echo +active +normal +1 +\d+ +1h +session 1/);
  t.match(naive, /^naïve tool +registered +normal +0 +– +– +–$/);
  t.equal((await cli(['ps'])).out, out, 'ps is ls');
  t.notMatch(out, '\u001b', 'no colours without a terminal');
  t.match((await cli(['ls'], { tty: true })).out, '\u001b[1mNAME', 'colours on a terminal');
});

const OUT_OF_MEMORY =
  'stopped: the kernel killed a process of it for lack of memory (OOM) at its hard limit: memory 144 MiB is 150 % of its limit of 96 MiB at the most that was seen, stage emergency';

t.test('ls says why a tool ended, also when it comes again and when it is back', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  const live = fake.tool('echo');
  const lastEnd = (reason: EndReason): EndView => ({
    reason,
    message: 'stopped: memory',
    exit: 'unknown',
    cleanup: null,
  });
  const nextAttemptAt = '2026-01-31T13:00:05.000Z';
  for (const [tool, note] of [
    [{ ...live, runs: [], lastEnd: lastEnd('limit') }, 'ended: stopped: memory'],
    [
      {
        ...live,
        state: 'recovering',
        runs: [],
        lastEnd: lastEnd('limit'),
        recovery: { ...live.recovery, nextAttemptAt },
      },
      `starts again at ${nextAttemptAt}; ended: stopped: memory`,
    ],
    [{ ...live, lastEnd: lastEnd('limit') }, 'before: stopped: memory'],
    [{ ...live, runs: [], lastEnd: { ...lastEnd('oom_kill'), message: OUT_OF_MEMORY } }, `ended: ${OUT_OF_MEMORY}`],
    [{ ...live, lastEnd: lastEnd('requested') }, ''],
    [{ ...live, lastEnd: lastEnd('exited') }, 'before: stopped: memory'],
    [{ ...live, managed: false, lastEnd: lastEnd('exited') }, ''],
  ] as const) {
    fake.tools = () => [tool];
    const [, line = ''] = (await cli(['ls'])).out.split('\n');
    t.equal(line.replace(/^.* – */, ''), note);
  }
});

t.test('ls says what a stage is about, and that CPU is only held back', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  const live = fake.tool('echo');
  const usage = fake.usageOf('echo');
  const note = async (resource: Resource, stage: Stage, changes: Partial<ResourceUsageView> = {}): Promise<string> => {
    const limits = live.limits.map((limit) =>
      limit.resource === resource ? { ...limit, limit: 20, actions: DEFAULT_ACTIONS[resource] } : limit,
    );
    fake.tools = () => [{ ...live, stage, limits }];
    const resources = usage.resources.map((view) =>
      view.resource === resource ? { ...view, stage, ratio: 4.481, enforcement: 'kernel' as const, ...changes } : view,
    );
    fake.usage = () => [{ ...usage, resources }];
    return ((await cli(['ls'])).out.split('\n')[1] ?? '').replace(/^.* – */, '');
  };
  const held = 'cpu at 448.1% of its limit: held back, not ended (throttled: cpu_quota + nice)';
  t.equal(await note('cpu', 'emergency'), held);
  t.equal(await note('cpu', 'emergency', { enforcement: 'polled' }), held);
  t.equal(await note('cpu', 'emergency', { enforcement: 'none' }), 'cpu at 448.1% of its limit', 'a dry run');
  t.equal(await note('cpu', 'warning'), 'cpu at 448.1% of its limit');
  t.equal(await note('memory', 'throttled'), 'memory at 448.1% of its limit');
  t.equal(await note('memory', 'normal'), '');
});

t.test('ls of one tool, and of tools that are gone', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  t.notMatch((await cli(['ls', 'echo'])).out, 'naïve');
  t.notMatch((await cli(['ls'])).out, 'ENDED');
  await fake.activate('naïve tool', { context: null });
  await fake.unregister('naïve tool');
  const { out } = await cli(['ls']);
  t.match(
    out,
    /^echo .*\n\nENDED +RUN +AGO +WHY\nnaïve tool +run0000002 +\S+ +stopped on request \(requested, signal SIGTERM\)/m,
  );
  t.match((await cli(['ls', 'naïve tool'])).out, /^ENDED +RUN.*\nnaïve tool +run0000002/);
  t.match((await cli(['ls', '-v', 'naïve tool'])).out, /^naïve tool\n {2}run run0000002 {2}ended/);
  t.match(JSON.parse((await cli(['ls', '--json'])).out), {
    tools: [{ name: 'echo' }],
    ended: [{ tool: 'naïve tool', end: { reason: 'requested' } }],
  });
  t.match(await cli(['ls', 'nobody']), { code: 1, out: '', err: /There is no tool "nobody"/ });
  for (let count = 0; count < 7; count++) {
    await fake.register({ ...fakeDefinition('passing'), origin: 'run' });
    await fake.activate('passing', { context: null });
    await fake.unregister('passing');
  }
  const recent = (await cli(['ls'])).out;
  t.equal(recent.match(/^(passing|naïve)/gm)?.length, 5);
  t.match(recent, /^3 more: governor ls --all$/m);
  t.equal((await cli(['ls', '-a'])).out.match(/^(passing|naïve)/gm)?.length, 8);
});

t.test('NO_COLOR and TERM=dumb', async (t) => {
  const { cli, stateDir } = await daemon(t);
  for (const more of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    t.notMatch((await cli(['ls'], { tty: true, env: { GOVERNOR_STATE_DIR: stateDir, ...more } })).out, '\u001b');
  }
});

t.test('ls -v shows limits with their origin, usage with reasons, and processes', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  const { code, out } = await cli(['ls', '-v']);
  t.equal(code, 0);
  t.match(out, /^echo {2}active, normal$/m);
  t.match(out, /^ {2}LIMIT +VALUE +USED +% +ENFORCED +FROM +STAGES +ACTIONS/m);
  t.match(
    out,
    /^ {2}memory +256 MiB .* class standard +75\/90\/100\/150 +throttled: memory_high, cleanup: recycle, emergency: kill$/m,
  );
  t.match(out, /^ {2}cpu +none .* – +–$/m);
  t.match(out, /n\/a \(.+\)/, 'a reading that is not there says why');
  t.match(out, /^ {4} *PID +PPID +NAME/m);
  t.match(JSON.parse((await cli(['ls', '-v', '--json'])).out), {
    tools: [{ name: 'echo' }, { name: 'naïve tool' }],
    ended: [],
    usage: [{ tool: 'echo' }, { tool: 'naïve tool' }],
    processes: { echo: { processes: [{}] } },
  });
});

t.test('usage', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  const all = await cli(['usage']);
  t.equal(all.code, 0);
  t.match(all.out, /^TOOL +RESOURCE +USED +LIMIT +% +STAGE +QUALITY +ENFORCED$/m);
  t.match(all.out, /^naïve tool/m);
  t.match(all.out, / [█▏▎▍▌▋▊▉·▶]{10} /, 'a bar');
  t.match(all.out, /^ +temp_storage +– /m, 'unsupported is a dash');
  t.notMatch(all.out, /n\/a/);
  const one = await cli(['usage', 'naïve tool']);
  t.equal(one.code, 0);
  t.notMatch(one.out, 'echo');
  t.match((await cli(['usage', 'echo', '-v'])).out, /run run0000001 +memory/);
  t.match(JSON.parse((await cli(['--json', 'usage', 'echo'])).out), {
    tool: 'echo',
    resources: [{ resource: 'memory' }],
  });
});

t.test('recommend', async (t) => {
  const { cli } = await daemon(t);
  const one = await cli(['recommend', 'naïve tool']);
  t.equal(one.code, 0);
  t.match(one.out, /^TOOL +RESOURCE +LIMIT +FITS +HIGHEST +CONFIDENCE +WHY$/m);
  t.match(one.out, /^naïve tool +memory +256 MiB +13\d MiB +10\d\.?\d* MiB +high +p99 of hourly peaks in 1d6h/m);
  t.match(one.out, /^ +sockets +16 +– +– +none +not measured here/m);
  t.match(one.out, /^Observed for 1d6h\.$/m);
  t.match(one.out, /^tools:\n {2}"naïve tool":\n {4}limits:$/m);
  const all = await cli(['recommend']);
  t.match(all.out, /^echo +memory/m);
  t.match(all.out, /^naïve tool +memory/m);
  t.notMatch(all.out, /^tools:/m);
  t.match(JSON.parse((await cli(['recommend', 'echo', '--json'])).out), {
    tool: 'echo',
    proposals: [{}],
    yaml: /^tools/,
  });
  t.match(JSON.parse((await cli(['recommend', '--json'])).out), {
    recommendations: [{ tool: 'echo' }, { tool: 'naïve tool' }],
  });
  t.match(await cli(['recommend', 'ecko']), { code: 1, err: /did you mean "echo"/ });
});

t.test('recommend: a tool that goes while the others are asked about takes nothing with it', async (t) => {
  for (const [code, goes] of [
    ['unknown_tool', true],
    ['internal', false],
  ] as const) {
    let asked = 0;
    const { cli } = await daemon(t, {
      recommend: async (tool) => {
        asked += 1;
        // It was listed.
        if (tool === 'echo') throw new GovernorError(code, 'there is no tool named echo');
        return { tool, at: '2026-01-31T12:00:00.000Z', observedMs: 0, proposals: [], yaml: null, note: 'nothing yet' };
      },
    });
    const all = await cli(['recommend']);
    t.equal(asked, goes ? 2 : 1);
    if (goes) {
      t.match(all, { code: 0, err: /^$/, out: /^naïve tool .*nothing yet$/m });
      t.notMatch(all.out, 'echo');
      t.match(JSON.parse((await cli(['recommend', '--json'])).out).recommendations, [{ tool: 'naïve tool' }]);
    } else t.match(all, { code: 1, out: /^$/ }, 'what is wrong in another way is told');
    t.equal((await cli(['recommend', 'echo'])).code, 1, 'who asks for it by name hears that it is gone');
  }
});

t.test('limits that runs share: in usage and in ls, where there are any', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  t.notMatch((await cli(['ls'])).out, 'SHARED BY');
  fake.shareWith([
    sharedView(null, 0.5),
    sharedView('ci-7', 0.94, { note: 'run x of y was started outside of its group' }),
  ]);
  const all = (await cli(['usage'])).out;
  t.match(all, /^all tools +memory +512 MiB +1 GiB +50% +█████····· +normal +cgroup +kernel$/m);
  t.match(all, /^context ci-7 +memory +.* 94% .* throttled +cgroup +polled$/m);
  t.notMatch(all, /^context ci-7 .*\n +sockets/m, 'what has no limit is left out');
  t.notMatch((await cli(['usage', 'echo'])).out, 'all tools');
  const listed = (await cli(['ls'])).out;
  t.match(listed, /^SHARED BY +STAGE +RUNS +HIGHEST +NOTE$/m);
  t.match(listed, /^all tools +normal +2 +memory 50%: 512 MiB of 1 GiB$/m);
  t.match(
    listed,
    /^context ci-7 +throttled +2 +memory 94%: .* of 1 GiB +polled: run x of y was started outside of its group$/m,
  );
  t.notMatch((await cli(['ls', 'echo'])).out, 'SHARED BY');
});

function sharedView(context: string | null, ratio: number, more: { readonly note?: string } = {}): BudgetView {
  const stage = ratio < 0.9 ? 'normal' : 'throttled';
  const base = { stage, quality: 'cgroup', at: '2026-01-31T12:00:00.000Z', source: null } as const;
  const enforcement = more.note === undefined ? 'kernel' : 'polled';
  return {
    scope: context === null ? 'host' : 'context',
    context,
    stage,
    runs: 2,
    resources: [
      { ...base, resource: 'memory', unit: 'bytes', usage: ratio * 2 ** 30, limit: 2 ** 30, ratio, enforcement },
      { ...base, resource: 'sockets', unit: 'count', usage: 3, limit: null, ratio: null, enforcement: 'observed' },
    ],
    ...more,
  };
}

t.test('start, stop, restart reach the right tool and run', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  t.match(await cli(['start', 'naïve tool', '--context', 'c']), {
    code: 0,
    out: /^naïve tool: run run0000001 is running/,
  });
  t.match(await cli(['restart', 'naïve tool']), { code: 0, out: /^naïve tool: restarted; run run0000002 is running/ });
  t.match(await cli(['stop', 'naïve tool/run0000002']), { code: 0, out: /^naïve tool\/run0000002: stopped/ });
  t.match(await cli(['stop', 'echo', '--json']), { code: 0, out: /^\{.*"name":"echo".*\}\n$/ });
  t.same(fake.calls, [
    'activate naïve tool in c',
    'restart naïve tool -',
    'deactivate naïve tool run0000002',
    'deactivate echo -',
  ]);
  t.match(await cli(['stop', 'echo/other']), { code: 1, out: /^$/, err: /^governor: echo has no run "other"\n$/ });
});

t.test('a stop that is not proven is no success', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  const tool = fake.tool('echo');
  fake.deactivate = async () => ({ ...tool, runs: tool.runs.map((run) => ({ ...run, state: 'unproven' as const })) });
  t.match(await cli(['stop', 'echo']), { code: 1, out: /^echo: not proven to be stopped: run run0000001/ });
});

t.test('nor is one whose containment cannot know, though nothing is seen any more', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  const unproven = (tool: ToolView): ToolView => {
    if (tool.lastEnd?.cleanup == null) throw new Error('no report');
    return { ...tool, lastEnd: { ...tool.lastEnd, cleanup: { ...tool.lastEnd.cleanup, proven: false } } };
  };
  const { deactivate, restart, tools } = fake;
  fake.deactivate = async (name, runId) => unproven(await deactivate(name, runId));
  fake.restart = async (name, runId) => unproven(await restart(name, runId));
  t.match(await cli(['stop', 'echo']), {
    code: 1,
    out: /^echo: not proven to be stopped: no process of it is seen any more and cleaned up in 2 ms, nothing known is left; /,
  });
  t.equal((await cli(['stop', 'echo', '--json'])).code, 1);
  t.match(await cli(['restart', 'echo']), {
    code: 0,
    out: /^echo: restarted; run run0000002 is running; the run before is not proven to be stopped\n$/,
  });
  await cli(['stop', 'echo']);
  fake.tools = () => tools().map((tool) => (tool.name === 'echo' ? unproven(tool) : tool));
  t.match((await cli(['ls', '-v', 'echo'])).out, /last end .*stopped on request \(requested, .*, not proven to be all/);
});

t.test('set', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  const done = await cli(['set', 'echo', 'file-handles=64', 'runtime=none']);
  t.match(done, { code: 0, err: /^$/ });
  t.match(done.out, /^echo: file_handles 64, enforced: polled, from its next start$/m);
  t.match(done.out, /^echo: runtime none, enforced: /m);
  t.match(fake.calls, ['setLimits echo {"file_handles":64,"runtime":null} by unix socket']);
  for (const [words, message] of [
    [['set', 'echo', 'memory'], 'governor set: "memory" is not key=value, such as memory=512MiB'],
    [['set', 'echo', '=1'], 'governor set: "=1" is not key=value, such as memory=512MiB'],
    [['set', 'echo', 'memory='], 'governor set: "memory=" is not key=value, such as memory=512MiB'],
    [['set', 'echo', 'memry=1GiB'], 'governor set: there is no limit "memry"; did you mean "memory"?'],
    [['set', 'echo', 'cpu=1%', 'cpu=2%'], 'governor set: cpu is given twice'],
  ] as const) {
    t.match(await cli(words), { code: 2, out: /^$/, err: `${message}\n(see: governor set --help)\n` });
  }
});

t.test('logs', async (t) => {
  const { cli } = await daemon(t);
  t.match(await cli(['logs', 'echo', '-n', '2']), { code: 0, out: 'second line\nthird line\n' });
});

t.test('a refusal is one clear line, and what would be right', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  t.match(await cli(['usage', 'ecko']), {
    code: 1,
    out: /^$/,
    err: 'governor: There is no tool "ecko"\n  there is no tool "ecko" (did you mean "echo"?)\n',
  });
  t.match(await cli(['usage', 'a/b']), {
    code: 1,
    err: /^governor: a tool name has .* "\/" at character 2 is not allowed\n$/,
  });
  const { code, out, err } = await cli(['usage', 'ecko', '--json']);
  t.match({ code, out }, { code: 1, out: /^$/ });
  t.match(JSON.parse(err), { code: 'unknown_tool', status: 404 }, 'with --json the problem document');
  fake.breakWith(new GovernorError('illegal_state', 'bad \u001b[31mname'));
  t.match(await cli(['ls']), { code: 1, err: 'governor: bad \\x1b[31mname\n' });
});

t.test('events that were kept, then the end', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  fake.emit('stage', { resource: 'memory', note: 'two words' }, 'echo');
  fake.emit('config_reload');
  const { code, out } = await cli(['events']);
  t.equal(code, 0);
  t.match(out, /^1 {2}\S+ {2}stage {2}echo {2}resource=memory note="two words"$/m);
  const newer = await cli(['events', '--since-id', '1', '--json']);
  const lines = newer.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(lines, [{ id: 2, type: 'config_reload' }]);
  t.equal(lines.length, 1);
});

t.test('events as they happen', async (t) => {
  const { cli, governor: fake, front } = await daemon(t);
  fake.emit('first');
  const following = cli(['events', '--follow']);
  while (fake.listeners === 0) await new Promise((resolve) => setImmediate(resolve));
  fake.emit('second');
  await front.close();
  const { code, out, err } = await following;
  t.match(out, /first\n.*second\n$/);
  t.match({ code, err }, { code: 1, err: 'governor: the daemon ended the event stream\n' });
});

t.test('events until the reader is gone', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  const gone = new AbortController();
  const following = cli(['events', '-f'], { interrupted: gone.signal });
  while (fake.listeners === 0) await new Promise((resolve) => setImmediate(resolve));
  gone.abort();
  t.match(await following, { code: 0, err: /^$/ });
});

t.test('daemon stop', async (t) => {
  const served = await daemon(t, { stop: ({ stopTools }) => void (asked.push(stopTools), served.front.close()) });
  const asked: boolean[] = [];
  served.governor.host = () => ({ ...FAKE_HOST, backend: 'cgroup2' });
  t.match(await served.cli(['daemon', 'stop', '--all']), {
    code: 0,
    out: /^The daemon for \S+ has stopped, and every tool with it\.\n$/,
  });
  t.same(asked, [true]);
  t.match(await served.cli(['daemon', 'stop']), { code: 1, err: /no daemon is running/ });
});

t.test('daemon stop --all ends with 1 and names what is not proven to be stopped', async (t) => {
  const served = await daemon(t, { stop: () => void served.front.close() });
  served.governor.host = () => ({ ...FAKE_HOST, backend: 'cgroup2' });
  const ledger = join(served.stateDir, 'ledger');
  mkdirSync(ledger);
  const entry = (runId: string, step: string): void =>
    writeFileSync(
      join(ledger, `${runId}.json`),
      JSON.stringify({
        version: 1,
        runId,
        tool: 'echo',
        step,
        bootId: 'b',
        tempDir: '/t',
        tempRoot: '/',
        cwd: '/',
        clients: [],
      }),
    );
  entry('0000000001', 'unproven');
  entry('0000000002', 'stopping');
  writeFileSync(join(ledger, '0000000003.json'), 'damaged');
  t.match(await served.cli(['daemon', 'stop', '--all']), {
    code: 1,
    out: /^The daemon for \S+ has stopped\. Not proven to be stopped: echo\/0000000001; the next daemon goes on with it\.\n$/,
  });
});

t.test('daemon stop --all promises nothing that its containment cannot prove', async (t) => {
  const served = await daemon(t, { stop: () => void served.front.close() });
  served.governor.host = () => ({ ...FAKE_HOST, backend: 'procfs' });
  t.match(await served.cli(['daemon', 'stop', '--all']), {
    code: 0,
    out: /^The daemon for \S+ has stopped\. Its tools are stopped too, which is not proven: .* \(procfs\)\.\n$/,
  });
});

t.test('daemon stop waits for the end of the process: with its socket closed it still cleans up', async (t) => {
  const served = await daemon(t, { stop: () => void served.front.close() });
  const process = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.teardown(() => void process.kill('SIGKILL'));
  const ended = once(process, 'exit');
  const identity = identityOf(process.pid ?? 0);
  if (identity === null) throw new Error('it ended at once');
  writeFileSync(join(served.stateDir, 'daemon.pid'), `${identity.pid} ${identity.startTicks}\n`);
  let code: number | null = null;
  const stopped = served.cli(['daemon', 'stop']).then((outcome) => (code = outcome.code));
  await waitFor('its socket to be closed', () => !existsSync(served.socketPath));
  // Ten looks of the one that waits.
  await pause(250);
  t.equal(code, null, 'it has not returned');
  process.kill('SIGKILL');
  await Promise.all([ended, stopped]);
  t.equal(code, 0);
});

t.test('completion of names is quiet', async (t) => {
  const { cli } = await daemon(t);
  t.match(await cli(['complete-names']), { code: 0, out: 'echo\nnaïve tool\n', err: /^$/ });
  t.match(await governor(['complete-names', '--state-dir', temporaryFolder(t)]), { code: 0, out: /^$/, err: /^$/ });
});

t.test('options count before and after the command, and the innermost wins', async (t) => {
  const { stateDir } = await daemon(t);
  const elsewhere = temporaryFolder(t);
  t.equal((await governor(['--state-dir', stateDir, 'ls'])).code, 0);
  t.equal((await governor(['ls', '--state-dir', stateDir])).code, 0);
  t.equal(
    (
      await governor(['--state-dir', elsewhere, 'ls', '--state-dir', stateDir], {
        env: { GOVERNOR_STATE_DIR: elsewhere },
      })
    ).code,
    0,
  );
  t.equal(
    (await governor(['--state-dir', elsewhere, 'ls'], { env: { GOVERNOR_STATE_DIR: stateDir } })).code,
    1,
    'a flag wins over the variable',
  );
});

t.test('doctor asks the running daemon', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  const asked = await cli(['doctor']);
  t.match(asked.out, /^kernel .*; asked the running daemon$/m);
  t.match(asked.out, /^RESOURCE +MEASURED BY +ENFORCED +BY$/m);
  const host = fake.host();
  t.equal(asked.code, host.capabilities.some(({ enforcement }) => enforcement === 'none') ? 1 : 0);
  t.match(JSON.parse((await cli(['doctor', '--json'])).out), { backend: host.backend, version: '0.0.0-test' });
  const capability = { resource: 'memory', measuredBy: 'files', enforcement: 'kernel', enforcedBy: 'caps' } as const;
  fake.host = () => ({ ...host, backend: 'cgroup2', capabilities: [capability] });
  t.match(await cli(['doctor']), { code: 0, out: /^ok +limits +every resource can be held/m });
  fake.host = () => ({
    ...host,
    backend: 'procfs',
    capabilities: [{ ...capability, enforcement: 'none', toGetMore: 'a cgroup' }],
  });
  const poor = await cli(['doctor']);
  t.equal(poor.code, 1, 'something essential is missing');
  t.match(poor.out, /^warn +containment +procfs: best effort/m);
  t.match(poor.out, /^fail +limits +cannot be held to a limit here: memory$/m);
  t.match(poor.out, /^To get more:\n {2}memory: a cgroup$/m);
});

t.test('a tool that ends while it is listed does not spoil the list', async (t) => {
  const { cli, governor: fake } = await daemon(t);
  await fake.activate('echo', { context: null });
  fake.processes = () => {
    throw new GovernorError('unknown_tool', 'There is no tool "echo"');
  };
  t.match(await cli(['ls', '-v']), { code: 0, out: /^echo {2}active/m });
});

t.test('cache', async (t) => {
  const asked: unknown[] = [];
  const counts = {
    entries: 1,
    bytes: 2048,
    maxEntries: 100,
    maxBytes: 1024 ** 2,
    loading: 0,
    hits: 5,
    misses: 3,
    joined: 1,
    loads: 2,
    failedLoads: 0,
    stored: 2,
    tooLarge: 0,
    notJson: 0,
    overtaken: 0,
    invalidated: 0,
    expired: 0,
    evicted: 0,
    redis: null,
  };
  const entry = {
    tool: 'docs',
    method: 'resources/read',
    uri: 'file:///a\u001b',
    scope: 'caller' as const,
    context: 'chat',
    bytes: 2048,
    createdAt: '2026-01-31T12:59:00.000Z',
    lastAccessAt: '2026-01-31T12:59:30.000Z',
    accessCount: 5,
    expiresAt: '2026-01-31T13:14:00.000Z',
    pattern: { template: 'file:///{name}', parameters: { name: 'a' } },
  };
  let redis: 'none' | 'done' | 'pending' = 'none';
  const { cli } = await daemon(t, {
    cache: {
      report(filter) {
        asked.push(filter);
        return { enabled: true, statistics: counts, entries: [entry, { ...entry, uri: null, context: null }] };
      },
      async clear(filter) {
        asked.push(filter);
        return { entries: asked.length, redis };
      },
    },
  });
  t.match(await cli(['cache', 'ls', '--tool', 'docs', '--uri', 'file:///a']), {
    code: 0,
    out: /^TOOL +WHAT +FOR +SIZE +AGE +LEFT +USED\ndocs +file:\/\/\/a\\x1b +chat +2 KiB +1m +14m +5\ndocs +resources\/read +all .*\n\n1 of 100 entries, 2 KiB of 1 MiB; 6 of 8 requests answered \(75 %\)\n$/,
  });
  t.equal((await cli(['cache'])).code, 0);
  t.match(JSON.parse((await cli(['cache', '--json'])).out), {
    enabled: true,
    entries: [{ tool: 'docs' }, { uri: null }],
  });
  t.match(
    (await cli(['cache', '--tool', 'docs', 'clear', '--pattern', 'file:///{x}'])).out,
    '4 entries have left the memory.\n',
  );
  redis = 'pending';
  t.match((await cli(['cache', 'clear'])).out, /5 entries .*; Redis does not answer/);
  redis = 'done';
  t.match((await cli(['cache', 'clear', '--json'])).out, '{"entries":6,"redis":"done"}\n');
  t.same(asked, [{ tool: 'docs', uri: 'file:///a' }, {}, {}, { tool: 'docs', pattern: 'file:///{x}' }, {}, {}]);
  const off = await daemon(t);
  t.match(await off.cli(['cache']), { code: 0, out: /The cache is off/ });
});
