import { spawnSync } from 'node:child_process';
import { Registry } from 'prom-client';
import t from 'tap';
import type { AuditRecord, CleanupReport } from '../../../lib/core/audit-record.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import type { Stage } from '../../../lib/core/ladder.ts';
import type { BudgetSnapshot } from '../../../lib/observe/metrics-budgets.ts';
import { createMetrics, type Metrics, type ToolSnapshot } from '../../../lib/observe/metrics.ts';
import { stageRecord } from './audit-fixture.ts';

function snapshotOf(tool: string, change: Partial<ToolSnapshot> = {}): ToolSnapshot {
  return {
    tool,
    state: 'active',
    runs: 2,
    cpuSeconds: 12.5,
    lastSampleAtMs: 1_700_000_000_500,
    resources: RESOURCES.map((resource, index) => ({
      resource,
      usage: 1000 * (index + 1),
      limit: 10_000,
      ratio: 0.8,
      stage: 'warning' as const,
    })),
    ...change,
  };
}

const redis = { up: true, failures: 1, timeouts: 2, skipped: 3, pendingInvalidations: 4 };

function metricsOf(
  tools: readonly ToolSnapshot[],
  {
    budgets = [],
    hasCache = false,
  }: { readonly budgets?: readonly BudgetSnapshot[]; readonly hasCache?: boolean } = {},
): Metrics {
  return createMetrics({
    registry: new Registry(),
    version: '0.1.0',
    snapshot: () => tools,
    budgets: () => budgets,
    history: () => ({ state: 'on', written: 7, dropped: 2, bytes: 4096 }),
    cache: () =>
      hasCache ? { tools: new Map(tools.map(({ tool }) => [tool, { entries: 3, bytes: 700 }])), redis } : null,
  });
}

function budgetOf(scope: 'host' | 'context', ratio: number | null, stage: Stage = 'normal'): BudgetSnapshot {
  return {
    scope,
    stage,
    resources: [
      { resource: 'cpu', limit: 300, ratio, stage },
      { resource: 'tasks', limit: null, ratio: null, stage: 'normal' },
    ],
  };
}

function actionRecord(tool: string): AuditRecord {
  return { kind: 'action', tool, run: 'r', resource: 'cpu', stage: 'throttled', action: 'cpu_quota', outcome: 'done' };
}

function budgetStop(budget: string): AuditRecord {
  return {
    kind: 'budget',
    event: 'action',
    budget,
    resource: 'cpu',
    stage: 'cleanup',
    action: 'recycle',
    outcome: 'done',
    tool: 'a',
    run: 'r',
  };
}

const REPORT: CleanupReport = {
  proven: true,
  held: { processes: 3, sockets: 2, memory_bytes: 4096, surprise: 1, temp_files: -1, cgroups: Number.NaN },
  reclaimed: { processes: 3 },
  left: {},
  steps: [],
  durationMs: 30,
  graceMs: 5000,
};

/** Everything that a busy daemon would have counted of one tool. */
function countSomething(metrics: Metrics, tool: string): void {
  metrics.write({ ...stageRecord(1), tool } as AuditRecord);
  metrics.write(actionRecord(tool));
  metrics.write({
    kind: 'anomaly',
    tool,
    run: 'r',
    resource: 'sockets',
    event: 'burst',
    usage: 90,
    before: 6,
    factor: 3,
    detail: '90 more sockets within seconds',
  });
  metrics.write({ kind: 'recovery', tool, strategy: 'restart', outcome: 'scheduled' });
  metrics.write({ kind: 'cleanup', tool, run: 'r', reason: 'limit', report: REPORT });
  metrics.observeOomKills(tool, 2);
  metrics.observeCall(tool, 'ok', 0.02);
  metrics.observeSampleDuration(0.0004);
  for (const event of ['memory_hit', 'redis_hit', 'joined', 'miss', 'invalidated', 'expired', 'evicted'] as const)
    metrics.observeCache(tool, event);
}

interface Sample {
  readonly name: string;
  readonly labels: string;
  readonly value: string;
}

function samples(text: string): readonly Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const match = /^([a-z_A-Z0-9]+)(\{.*\})? (\S+)$/.exec(line);
      if (match === null) throw new Error(`not a sample: ${line}`);
      return { name: match[1] ?? '', labels: match[2] ?? '', value: match[3] ?? '' };
    });
}

function valueOf(text: string, name: string, labels = ''): string | undefined {
  return samples(text).find((sample) => sample.name === name && sample.labels === labels)?.value;
}

t.test('names, types and labels (pin: a change here breaks dashboards and alerts)', async (t) => {
  const connections = { initializing: 1, ready: 2, shutdown: 3 };
  const metrics = metricsOf([snapshotOf('a', { connections, leaks: new Set(['sockets']) })], {
    budgets: [budgetOf('host', 0.5), budgetOf('context', 0.25)],
    hasCache: true,
  });
  countSomething(metrics, 'a');
  metrics.write(budgetStop('context secret id'));
  const text = await metrics.render();
  const found = [...text.matchAll(/^# TYPE (governor_\S+) (\S+)$/gm)].map(([, name = '', type = '']) => {
    const labels = new Set<string>();
    for (const sample of samples(text)) {
      if (sample.name.replace(/_(bucket|sum|count)$/, '') !== name && sample.name !== name) continue;
      for (const [, label = ''] of sample.labels.matchAll(/([a-z]+)="/g)) if (label !== 'le') labels.add(label);
    }
    return `${name} ${type} {${[...labels].join(',')}}`;
  });
  t.strictSame(found.sort(), [
    'governor_actions_total counter {tool,resource,action,outcome}',
    'governor_anomalies_total counter {tool,resource}',
    'governor_budget_limit gauge {resource}',
    'governor_budget_stage gauge {resource,stage}',
    'governor_budget_stops_total counter {budget,resource,stage}',
    'governor_budget_usage_ratio gauge {resource}',
    'governor_build_info gauge {version,node}',
    'governor_cache_bytes gauge {tool}',
    'governor_cache_entries gauge {tool}',
    'governor_cache_hits_total counter {tool,level}',
    'governor_cache_joined_total counter {tool}',
    'governor_cache_misses_total counter {tool}',
    'governor_cache_redis_failures_total counter {reason}',
    'governor_cache_redis_pending_invalidations gauge {}',
    'governor_cache_redis_up gauge {}',
    'governor_cache_removed_total counter {tool,reason}',
    'governor_cleanup_duration_seconds histogram {}',
    'governor_cleanup_held_total counter {kind}',
    'governor_cleanup_reclaimed_total counter {kind}',
    'governor_config_last_reload_successful gauge {}',
    'governor_context_usage_ratio gauge {resource}',
    'governor_contexts gauge {stage}',
    'governor_history_bytes gauge {}',
    'governor_history_paused gauge {}',
    'governor_history_rows_total counter {outcome}',
    'governor_leak_suspected gauge {tool,resource}',
    'governor_oom_kills_total counter {tool}',
    'governor_pool_connections gauge {tool,state}',
    'governor_recoveries_total counter {tool,strategy,outcome}',
    'governor_sample_duration_seconds histogram {}',
    'governor_stage_transitions_total counter {tool,resource,stage}',
    'governor_tool_call_duration_seconds histogram {tool}',
    'governor_tool_calls_total counter {tool,outcome}',
    'governor_tool_cpu_seconds_total counter {tool}',
    'governor_tool_last_sample_timestamp_seconds gauge {tool}',
    'governor_tool_limit gauge {tool,resource}',
    'governor_tool_memory_bytes gauge {tool}',
    'governor_tool_open_fds gauge {tool}',
    'governor_tool_runs gauge {tool}',
    'governor_tool_runtime_seconds gauge {tool}',
    'governor_tool_sockets gauge {tool}',
    'governor_tool_stage gauge {tool,resource,stage}',
    'governor_tool_state gauge {tool,state}',
    'governor_tool_tasks gauge {tool}',
    'governor_tool_temp_bytes gauge {tool}',
    'governor_tool_usage_ratio gauge {tool,resource}',
  ]);
  for (const [state, count] of Object.entries(connections))
    t.equal(valueOf(text, 'governor_pool_connections', `{tool="a",state="${state}"}`), String(count), state);
});

t.test('limits that runs share: the host as it is, of contexts the highest and how many', async (t) => {
  const contexts = [budgetOf('context', 0.25), budgetOf('context', 0.95, 'throttled'), budgetOf('context', null)];
  const metrics = metricsOf([], { budgets: [budgetOf('host', 0.5, 'warning'), ...contexts] });
  for (const budget of ['host', 'context a', 'context b']) metrics.write(budgetStop(budget));
  metrics.write({ ...budgetStop('host'), outcome: 'dry_run' } as AuditRecord);
  metrics.write({ ...budgetStop('host'), run: undefined } as unknown as AuditRecord);
  const text = await metrics.render();
  t.equal(valueOf(text, 'governor_budget_limit', '{resource="cpu"}'), '3', 'cores, from percent');
  t.equal(valueOf(text, 'governor_budget_usage_ratio', '{resource="cpu"}'), '0.5');
  t.equal(valueOf(text, 'governor_budget_stage', '{resource="cpu",stage="warning"}'), '1');
  t.equal(valueOf(text, 'governor_budget_stage', '{resource="cpu",stage="normal"}'), '0');
  t.equal(valueOf(text, 'governor_context_usage_ratio', '{resource="cpu"}'), '0.95');
  t.equal(valueOf(text, 'governor_contexts', '{stage="normal"}'), '2');
  t.equal(valueOf(text, 'governor_contexts', '{stage="throttled"}'), '1');
  t.equal(valueOf(text, 'governor_budget_stops_total', '{budget="context",resource="cpu",stage="cleanup"}'), '2');
  t.equal(valueOf(text, 'governor_budget_stops_total', '{budget="host",resource="cpu",stage="cleanup"}'), '1');
  t.notMatch(text, /resource="tasks"|secret/);
  t.notMatch(
    await metricsOf([]).render(),
    /governor_(budget_(limit|usage|stage)|context)/,
    'nothing where there is none',
  );
});

t.test("the daemon's own process is in it, without what costs it CPU", async (t) => {
  const text = await metricsOf([]).render();
  const names = new Set(samples(text).map(({ name }) => name));
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_open_fds',
    'process_start_time_seconds',
  ]) {
    t.ok(names.has(name), name);
  }
  t.notMatch(text, /eventloop_lag|nodejs_active_/);
  t.equal(metricsOf([]).contentType, 'text/plain; version=0.0.4; charset=utf-8');
});

t.test('values: each in its base unit', async (t) => {
  const text = await metricsOf([snapshotOf('a')]).render();
  const tool = '{tool="a"}';
  t.equal(valueOf(text, 'governor_tool_memory_bytes', tool), '1000');
  t.equal(valueOf(text, 'governor_tool_open_fds', tool), '3000');
  t.equal(valueOf(text, 'governor_tool_sockets', tool), '4000');
  t.equal(valueOf(text, 'governor_tool_runtime_seconds', tool), '5');
  t.equal(valueOf(text, 'governor_tool_temp_bytes', tool), '6000');
  t.equal(valueOf(text, 'governor_tool_tasks', tool), '7000');
  t.equal(valueOf(text, 'governor_tool_cpu_seconds_total', tool), '12.5');
  t.equal(valueOf(text, 'governor_tool_runs', tool), '2');
  t.equal(valueOf(text, 'governor_tool_last_sample_timestamp_seconds', tool), '1700000000.5');
  t.equal(valueOf(text, 'governor_tool_limit', '{tool="a",resource="memory"}'), '10000');
  t.equal(valueOf(text, 'governor_tool_limit', '{tool="a",resource="cpu"}'), '100', 'cores, from percent');
  t.equal(valueOf(text, 'governor_tool_limit', '{tool="a",resource="runtime"}'), '10', 'seconds, from ms');
  t.match(text, /# HELP governor_tool_limit .*cpu: cores .*runtime: seconds/);
  t.equal(valueOf(text, 'governor_tool_usage_ratio', '{tool="a",resource="cpu"}'), '0.8');
  t.equal(valueOf(text, 'governor_build_info', `{version="0.1.0",node="${process.versions.node}"}`), '1');
});

t.test('stage and state are sets of 0 and one 1', async (t) => {
  const text = await metricsOf([snapshotOf('a', { state: 'recovering' })]).render();
  for (const resource of RESOURCES) {
    const set = samples(text).filter(
      ({ name, labels }) => name === 'governor_tool_stage' && labels.includes(`resource="${resource}"`),
    );
    t.equal(set.length, 5);
    t.strictSame(
      set.filter(({ value }) => value === '1').map(({ labels }) => labels),
      [`{tool="a",resource="${resource}",stage="warning"}`],
    );
  }
  const states = samples(text).filter(({ name }) => name === 'governor_tool_state');
  t.equal(states.length, 7);
  t.strictSame(
    states.filter(({ value }) => value === '1').map(({ labels }) => labels),
    ['{tool="a",state="recovering"}'],
  );
});

t.test('what a tool is suspected of leaking; nothing of one that has no run', async (t) => {
  const text = await metricsOf([snapshotOf('a', { leaks: new Set(['sockets']) }), snapshotOf('asleep')]).render();
  const found = samples(text).filter(({ name }) => name === 'governor_leak_suspected');
  t.strictSame(
    found.map(({ labels, value }) => [labels, value]),
    ['memory', 'file_handles', 'sockets', 'temp_storage', 'tasks'].map((resource) => [
      `{tool="a",resource="${resource}"}`,
      resource === 'sockets' ? '1' : '0',
    ]),
  );
});

t.test('what was not measured is absent, never 0', async (t) => {
  const none = RESOURCES.map((resource) => ({
    resource,
    usage: null,
    limit: null,
    ratio: null,
    stage: 'normal' as const,
  }));
  const text = await metricsOf([
    snapshotOf('a', { state: 'registered', runs: 0, cpuSeconds: null, lastSampleAtMs: null, resources: none }),
  ]).render();
  const ofTool = samples(text).filter(({ labels }) => labels.includes('tool="a"'));
  t.strictSame([...new Set(ofTool.map(({ name }) => name))].sort(), [
    'governor_oom_kills_total',
    'governor_tool_runs',
    'governor_tool_state',
  ]);
  const limited = none.map((resource) => ({ ...resource, limit: 5 }));
  const withLimits = await metricsOf([snapshotOf('a', { resources: limited })]).render();
  t.equal(valueOf(withLimits, 'governor_tool_limit', '{tool="a",resource="tasks"}'), '5');
  t.notMatch(withLimits, /^governor_tool_(usage_ratio|memory_bytes|tasks)\{/m);
  const odd = [
    {
      resource: 'memory' as const,
      usage: Number.NaN,
      limit: Number.POSITIVE_INFINITY,
      ratio: Number.NaN,
      stage: 'normal' as const,
    },
  ];
  t.notMatch(await metricsOf([snapshotOf('a', { resources: odd })]).render(), /NaN|Infinity/);
});

t.test('names are escaped as the format has it', async (t) => {
  const name = 'a"b\\c\nd é 日本 {x="1"}';
  const metrics = metricsOf([snapshotOf(name)]);
  countSomething(metrics, name);
  const text = await metrics.render();
  const escaped = 'a\\"b\\\\c\\nd é 日本 {x=\\"1\\"}';
  t.equal(valueOf(text, 'governor_tool_runs', `{tool="${escaped}"}`), '2');
  t.equal(valueOf(text, 'governor_oom_kills_total', `{tool="${escaped}"}`), '2');
});

t.test('audit records are counted', async (t) => {
  const metrics = metricsOf([snapshotOf('a')]);
  for (let index = 0; index < 3; index += 1) countSomething(metrics, 'a');
  metrics.write({ ...stageRecord(1), tool: 'a', from: 'warning', to: 'normal' } as AuditRecord);
  metrics.write({ kind: 'recovery', tool: 'a', strategy: 'invented', outcome: 'failed' });
  metrics.write({ kind: 'daemon', event: 'start', detail: {} });
  const text = await metrics.render();
  t.equal(valueOf(text, 'governor_stage_transitions_total', '{tool="a",resource="memory",stage="warning"}'), '3');
  t.equal(valueOf(text, 'governor_stage_transitions_total', '{tool="a",resource="memory",stage="normal"}'), '1');
  t.equal(valueOf(text, 'governor_actions_total', '{tool="a",resource="cpu",action="cpu_quota",outcome="done"}'), '3');
  t.equal(valueOf(text, 'governor_recoveries_total', '{tool="a",strategy="restart",outcome="scheduled"}'), '3');
  t.equal(valueOf(text, 'governor_recoveries_total', '{tool="a",strategy="other",outcome="failed"}'), '1');
  t.equal(valueOf(text, 'governor_oom_kills_total', '{tool="a"}'), '6');
  t.equal(valueOf(text, 'governor_cleanup_duration_seconds_count'), '3');
  t.equal(valueOf(text, 'governor_cleanup_duration_seconds_sum'), '0.09');
  t.equal(valueOf(text, 'governor_cleanup_held_total', '{kind="processes"}'), '9');
  t.equal(valueOf(text, 'governor_cleanup_held_total', '{kind="memory_bytes"}'), '12288');
  t.equal(valueOf(text, 'governor_cleanup_held_total', '{kind="other"}'), '3');
  t.equal(valueOf(text, 'governor_cleanup_held_total', '{kind="temp_files"}'), '0');
  t.equal(valueOf(text, 'governor_cleanup_held_total', '{kind="cgroups"}'), '0');
  t.equal(valueOf(text, 'governor_cleanup_reclaimed_total', '{kind="processes"}'), '9');
  t.equal(valueOf(text, 'governor_sample_duration_seconds_count'), '3');
});

t.test('impossible numbers are not counted', async (t) => {
  const metrics = metricsOf([snapshotOf('a')]);
  metrics.observeOomKills('a', -1);
  metrics.observeOomKills('a', Number.NaN);
  metrics.observeSampleDuration(-1);
  metrics.observeSampleDuration(Number.NaN);
  metrics.write({ kind: 'cleanup', tool: 'a', run: 'r', reason: 'limit', report: { ...REPORT, durationMs: -5 } });
  const text = await metrics.render();
  t.equal(valueOf(text, 'governor_oom_kills_total', '{tool="a"}'), '0');
  t.equal(valueOf(text, 'governor_sample_duration_seconds_count'), '0');
  t.equal(valueOf(text, 'governor_cleanup_duration_seconds_sum'), '0');
});

t.test('the last reload of the configuration', async (t) => {
  const metrics = metricsOf([]);
  t.equal(valueOf(await metrics.render(), 'governor_config_last_reload_successful'), '1');
  metrics.setConfigReload(false);
  t.equal(valueOf(await metrics.render(), 'governor_config_last_reload_successful'), '0');
});

t.test('a tool that is gone leaves no series', async (t) => {
  const tools = [snapshotOf('a'), snapshotOf('b')];
  const metrics = createMetrics({ registry: new Registry(), version: '0', snapshot: () => tools });
  countSomething(metrics, 'a');
  countSomething(metrics, 'b');
  t.match(await metrics.render(), /tool="a"/);
  tools.shift();
  metrics.removeTool('a');
  t.notMatch(await metrics.render(), /tool="a"/);
  t.match(await metrics.render(), /governor_actions_total\{tool="b"/);
  countSomething(metrics, 'a');
  t.notMatch(await metrics.render(), /tool="a"/, 'records that come late do not bring it back');
  countSomething(metrics, 'b');
  metrics.write({ kind: 'lifecycle', tool: 'b', from: 'unregistering', to: 'gone', event: 'last_run_ended' });
  t.notMatch(await metrics.render(), /governor_actions_total\{/, 'a lifecycle record ends its counters too');
});

t.test('counters go on over scrapes, gauges follow the snapshot', async (t) => {
  const tools = [snapshotOf('a')];
  const metrics = createMetrics({ registry: new Registry(), version: '0', snapshot: () => tools });
  countSomething(metrics, 'a');
  await metrics.render();
  countSomething(metrics, 'a');
  tools[0] = snapshotOf('a', { runs: 5 });
  const text = await metrics.render();
  t.equal(valueOf(text, 'governor_oom_kills_total', '{tool="a"}'), '4');
  t.equal(valueOf(text, 'governor_tool_runs', '{tool="a"}'), '5');
  t.equal(samples(text).filter(({ name }) => name === 'governor_tool_runs').length, 1);
});

const promtool = spawnSync('promtool', ['--version']).error === undefined;

t.test(
  "Prometheus' own promtool accepts it",
  { skip: promtool ? false : 'promtool (Debian: prometheus) is not installed' },
  async (t) => {
    const metrics = metricsOf([
      snapshotOf('a'),
      snapshotOf('b"\\é'),
      snapshotOf('c', { cpuSeconds: null, resources: [] }),
    ]);
    countSomething(metrics, 'a');
    for (const text of [await metrics.render(), await metricsOf([]).render()]) {
      const check = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
      t.equal(check.status, 0, check.stderr);
      t.equal(check.stderr + check.stdout, '');
    }
  },
);

t.test('the cache: by level and reason; nothing of a Redis where there is none', async (t) => {
  const metrics = metricsOf([snapshotOf('a')], { hasCache: true });
  for (const event of ['memory_hit', 'memory_hit', 'redis_hit', 'evicted'] as const) metrics.observeCache('a', event);
  const text = await metrics.render();
  for (const [name, labels, value] of [
    ['governor_cache_hits_total', '{tool="a",level="memory"}', '2'],
    ['governor_cache_hits_total', '{tool="a",level="redis"}', '1'],
    ['governor_cache_removed_total', '{tool="a",reason="evicted"}', '1'],
    ['governor_cache_entries', '{tool="a"}', '3'],
    ['governor_cache_bytes', '{tool="a"}', '700'],
    ['governor_cache_redis_up', '', '1'],
    ['governor_cache_redis_pending_invalidations', '', '4'],
    ['governor_cache_redis_failures_total', '{reason="timeout"}', '2'],
  ] as const)
    t.equal(valueOf(text, name, labels), value, `${name}${labels}`);
  t.equal(
    valueOf(await metrics.render(), 'governor_cache_redis_failures_total', '{reason="error"}'),
    '1',
    'not added up',
  );
  metrics.removeTool('a');
  t.notMatch(
    (await metrics.render()).replaceAll(/governor_cache_(entries|bytes).*/g, ''),
    /governor_cache_\w+\{tool="a"/,
  );
  const without = createMetrics({ registry: new Registry(), version: '0', snapshot: () => [] });
  t.notMatch(await without.render(), /^governor_cache_/m);
});

t.test('the history: as it is at the scrape; absent where it is off', async (t) => {
  const counted = { state: 'on', written: 7, dropped: 2, bytes: 4096 };
  const metrics = createMetrics({ registry: new Registry(), version: '0', snapshot: () => [], history: () => counted });
  await metrics.render();
  const text = await metrics.render();
  t.equal(valueOf(text, 'governor_history_rows_total', '{outcome="written"}'), '7', 'not added up');
  t.equal(valueOf(text, 'governor_history_rows_total', '{outcome="dropped"}'), '2');
  t.equal(valueOf(text, 'governor_history_bytes', ''), '4096');
  t.equal(valueOf(text, 'governor_history_paused', ''), '0');
  for (const state of ['paused', 'failed']) {
    counted.state = state;
    t.equal(valueOf(await metrics.render(), 'governor_history_paused', ''), '1', state);
  }
  const off = createMetrics({ registry: new Registry(), version: '0', snapshot: () => [] });
  t.notMatch(await off.render(), /^governor_history_/m);
});
