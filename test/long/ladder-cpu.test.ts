/** CPU: told, held back by a quota (or nice) that the test measures, and ended only where the file says so. */

import { readFileSync } from 'node:fs';
import { cpus, getPriority, loadavg } from 'node:os';
import t, { type Test } from 'tap';
import { auditOf } from '../helpers/audit.ts';
import { linuxBackends } from '../helpers/backends.ts';
import { type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { lacksFixture } from '../helpers/fixture.ts';
import { runStairs, stageReached, statusOf } from '../helpers/stairs.ts';
import { lacks } from '../helpers/skip.ts';
import { patience, pause, waitFor } from '../helpers/wait-for.ts';

/**
 * Little, because the machine may be busy. Where the host holds up an emulated core, that counts as CPU time of what ran on
 * it: a larger limit has more room for it.
 */
const LIMIT_PERCENT = patience(1) > 1 ? 20 : 10;
/**
 * Between warning and throttle lie 10 % of the limit. Of 20 % that is 40 ms in a window of 2 s, and 200 ms in a full one of
 * 10 s: an emulated core is held up longer than that, so there the limit is larger and the window full.
 */
const WARNED_PERCENT = patience(1) > 1 ? 60 : LIMIT_PERCENT;
const WARM_UP = `${Math.min(10, patience(2))}s`;
/** As `stairs` takes it, in tenths of a percent of a core. */
const share = (ofLimit: number, limitPercent = LIMIT_PERCENT): number => Math.round(limitPercent * 10 * ofLimit);
const STRICT = { cpu: { throttled: [], cleanup: ['recycle'], emergency: ['kill'] } };
const tools = {
  warned: tool(WARNED_PERCENT),
  throttled: tool(),
  busy: tool(),
  recycled: { ...tool(), actions: STRICT },
  // A busy machine may show less at first.
  killed: { ...tool(), actions: { cpu: { ...STRICT.cpu, cleanup: [] } } },
};

/** Where many wait for each core nobody gets as much as its limit. */
const [load = 0] = loadavg();
const busy = load > 8 * cpus().length && `needs an idler machine: ${load} programs wait for ${cpus().length} cores`;
const skip = lacks('linux') || lacksFixture('stairs') || busy;
// One that has quotas, and one that has not.
const backends =
  skip === false
    ? (await linuxBackends()).filter(({ id, usable }) => usable && id !== 'cgroup2-bare' && id !== 'pidns')
    : [];
if (skip !== false) t.test('CPU', { skip }, () => undefined);

for (const { id: backend } of backends) {
  t.test(`CPU on ${backend}`, { timeout: patience(110_000) }, async (t) => {
    const daemon = await startDaemon(t, { backend, config: { daemon: { sample_interval: '100ms' }, tools } });
    const hasQuota = backend !== 'procfs';
    await Promise.all([warned(t, daemon), throttledAndReleased(t, daemon, hasQuota)]);
    await Promise.all([
      jumpsOverTheThrottle(t, daemon, hasQuota),
      endedAsConfigured(t, daemon, 'recycled', share(1.15), 143),
      endedAsConfigured(t, daemon, 'killed', share(3), 137),
    ]);
    t.notMatch(
      daemon.output(),
      /could not be carried out|sampling failed|the end of a run failed/,
      'the daemon met no error',
    );
  });
}

async function warned(t: Test, daemon: RunningDaemon): Promise<void> {
  const run = runStairs(t, daemon, 'warned', { args: [`--cpu=${share(0.8, WARNED_PERCENT)}`] });
  const view = await stageReached(daemon, 'warned', 'cpu', 'warning');
  t.ok(view.ratio >= 0.75 && view.ratio < 0.9, `warned at ${view.ratio}`);
  await run.hold('exit', 0).catch(() => undefined);
  t.equal(statusOf(await run.ended), 0, 'warned: it was only told');
  t.same(
    (await auditOf(daemon, 'warned', 'action')).map(({ action, outcome }) => `${action} ${outcome}`),
    ['notify done'],
  );
}

async function throttledAndReleased(t: Test, daemon: RunningDaemon, hasQuota: boolean): Promise<void> {
  const run = runStairs(t, daemon, 'throttled', { args: [`--cpu=${share(0.93)}`] });
  const priority = getPriority();
  await stageReached(daemon, 'throttled', 'cpu', 'throttled');
  await braked(t, daemon, 'throttled', hasQuota);
  await run.hold('cpu', 1);
  await waitFor(
    'the throttle to be left',
    async () =>
      (await auditOf(daemon, 'throttled', 'stage')).some(({ from, to }) => from === 'throttled' && to !== 'cleanup'),
    { timeoutMs: 30_000 },
  );
  if (!hasQuota) {
    await waitFor('nice to be taken back', () => getPriority(run.child.pid) === priority);
  } else {
    // What it may use again shows that the quota is gone.
    await run.hold('cpu', share(4));
    await waitFor(
      'more than its limit',
      async () => (await percentOver(run.child.pid ?? 0, 300)) > LIMIT_PERCENT * 1.5,
      { timeoutMs: 20_000, everyMs: 1 },
    );
  }
  t.equal(run.child.exitCode ?? run.child.signalCode, null, 'throttled: it lives');
  run.child.kill('SIGKILL');
  await run.ended;
}

/** A window of ten seconds shows a sudden load as far above the limit: that must not spare it the throttle. */
async function jumpsOverTheThrottle(t: Test, daemon: RunningDaemon, hasQuota: boolean): Promise<void> {
  const run = runStairs(t, daemon, 'busy', { args: [`--cpu=${share(4)}`] });
  await run.said('ready');
  await braked(t, daemon, 'busy', hasQuota);
  if (hasQuota) {
    // The kernel takes back from the next periods what one gave too much, as where the host held up an emulated core.
    const percent = await percentOver(run.child.pid ?? 0, patience(2000));
    t.ok(percent < LIMIT_PERCENT * 1.5, `busy: uses ${percent} % of a core under a quota of ${LIMIT_PERCENT} %`);
    t.ok(percent > 1, 'busy: and is not stopped');
  }
  t.equal(run.child.exitCode ?? run.child.signalCode, null, 'busy: a busy tool is no fault');
  t.same(
    (await auditOf(daemon, 'busy', 'action')).filter(({ action }) =>
      ['kill', 'stop', 'recycle'].includes(action as string),
    ),
    [],
  );
  t.ok(
    (await auditOf(daemon, 'busy', 'action')).some(({ action, outcome }) => action === 'notify' && outcome === 'done'),
    'busy: told, whichever stages it jumped',
  );
  t.match(
    (await daemon.cli(['ls', 'busy'])).stdout,
    /cpu at \d+(\.\d)?% of its limit: held back, not ended \(throttled: cpu_quota \+ nice\)/,
    'busy: and shown to be held back, whatever its stage is called',
  );
  run.child.kill('SIGKILL');
  await run.ended;
}

/** The brake is on record and in force. */
async function braked(t: Test, daemon: RunningDaemon, name: string, hasQuota: boolean): Promise<void> {
  const brake = hasQuota ? 'cpu_quota' : 'nice';
  await waitFor(
    `${brake} of ${name}`,
    async () =>
      (await auditOf(daemon, name, 'action')).some(({ action, outcome }) => action === brake && outcome === 'done'),
    { timeoutMs: 30_000 },
  );
  const { pid } = (await daemon.call('GET', `/v1/tools/${name}`)).json.runs[0];
  if (!hasQuota) {
    t.equal(getPriority(pid), 10, `${name}: nice`);
    t.match(
      (await auditOf(daemon, name, 'action')).find(({ action }) => action === 'cpu_quota'),
      { outcome: 'unsupported', detail: /cgroup/ },
    );
  }
}

async function endedAsConfigured(
  t: Test,
  daemon: RunningDaemon,
  name: string,
  tenths: number,
  status: number,
): Promise<void> {
  const run = runStairs(t, daemon, name, { args: [`--cpu=${tenths}`] });
  t.equal(statusOf(await run.ended), status, `${name}: exit status`);
  const { lastEnd } = await waitFor(`${name} to have ended`, async () => {
    const { json } = await daemon.call('GET', `/v1/tools/${name}`);
    return json.lastEnd === null ? null : json;
  });
  t.match(
    lastEnd,
    {
      reason: 'limit',
      resource: 'cpu',
      message: new RegExp(`^stopped: CPU \\d+ % is \\d+ % of its limit of ${LIMIT_PERCENT} %`),
    },
    `${name}: why`,
  );
  t.equal(run.stderr().trimEnd().split('\n').at(-1), `governor: ${name}: ${lastEnd.message as string}`);
}

/** CPU time of the process over a while, in percent of one core. */
async function percentOver(pid: number, forMs: number): Promise<number> {
  const [beforeMs, from] = [cpuMs(pid), performance.now()];
  await pause(forMs);
  return ((cpuMs(pid) - beforeMs) / (performance.now() - from)) * 100;
}

/** utime and stime, proc_pid_stat(5), in ticks of 10 ms. */
function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function tool(limitPercent = LIMIT_PERCENT): Readonly<Record<string, unknown>> {
  return {
    command: 'true',
    autostart: false,
    readiness: 'none',
    limits: { cpu: `${limitPercent}%` },
    ladder: { cpu_warm_up: WARM_UP },
  };
}
