import { execFileSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Config } from '../../../config/config.ts';
import { checkConfigFile, loadConfig } from '../../../config/load.ts';
import type { LoadOptions } from '../../../config/load.ts';
import { limitsOfContext } from '../../../lib/core/budget.ts';
import { formatProblem } from '../../../lib/core/errors.ts';
import type { ResolvedLimit } from '../../../lib/core/limits.ts';
import { RESOURCES } from '../../../lib/core/resource.ts';
import type { ToolDefinition } from '../../../lib/supervisor/governor.ts';
import { projectRoot } from '../../helpers/project-root.ts';

const host = { memoryBytes: 24 * 1024 ** 3, cores: 4 };
const good = join(projectRoot, 'test/fixtures/config/good');

t.test('a full file: every setting arrives, with where it came from', async (t) => {
  const env = { HOST: 'example.org', GOVERNOR_LIMIT_FILE_HANDLES: '99' };
  const config = accepted(loadConfig({ path: join(good, 'full.yaml'), host, env }));
  t.same(config.daemon, {
    listen: { host: '::1', port: 0 },
    auth: { api: 'none', mcp: 'none', metrics: 'token' },
    backend: 'procfs',
    sampleIntervalMs: 500,
    audit: { maxFileBytes: 1_048_576, keepFiles: 3 },
    postMortems: { keep: 3, maxBytes: 1_048_576 },
    history: { keepS: { '1s': 1200, '10s': 21_600, '1m': 1_209_600 }, maxBytes: 33_554_432 },
    mcp: { separator: '-' },
    cache: { ttlMs: 900_000, maxEntries: 100, maxBytes: 100_000_000, sweepIntervalMs: 60_000, redis: null },
    logLevel: 'debug',
    calls: {},
    leaks: {},
    dryRun: true,
    tempRoot: join(good, 'tmp'),
  });
  t.same([...config.classes.keys()], ['light', 'standard', 'heavy', 'base', 'small']);
  t.same(
    config.tools.map(({ name }) => name),
    ['everything', 'plain', 'docs'],
  );

  const tool = named(config, 'everything');
  const { limits, ladder, ...rest } = tool;
  t.same(rest, {
    name: 'everything',
    command: 'node',
    args: ['server.js', '--level=$HOME', '8080'],
    env: { LEVEL: 'info', URL: 'http://example.org/$x' },
    cwd: join(good, 'sub'),
    class: 'small',
    recovery: {
      strategy: 'restart',
      budget: 2,
      windowMs: 3_600_000,
      stableForMs: 30_000,
      returnAfterMs: 1_800_000,
      fallback: false,
      degraded: null,
    },
    graceMs: 1000,
    readyTimeoutMs: 60_000,
    readiness: 'none',
    sharing: 'context',
    idleTimeoutMs: 600_000,
    healthCheckMs: 30_000,
    calls: { queue: 100, waitMs: 30_000 },
    leaks: { action: 'notify', warmUpMs: 300_000, windowMs: 1_800_000 },
    dryRun: false,
    autostart: false,
    origin: 'file',
  });
  t.same(origins(tool), {
    memory: [100_000_000, 'class', 'class small (full.yaml:20:13)', undefined],
    cpu: [50, 'file', 'full.yaml:32:12', 'shares the machine'],
    file_handles: [99, 'environment', 'GOVERNOR_LIMIT_FILE_HANDLES', undefined],
    sockets: null,
    runtime: [5_400_000, 'file', 'full.yaml:34:16', undefined],
    temp_storage: [10_485_760, 'file', 'full.yaml:33:21', undefined],
    tasks: [64, 'class', 'class base (full.yaml:17:12)', 'no pools'],
  });
  t.equal(limits.temp_storage?.inodes, 100);
  t.same(limits.memory?.thresholds, { warning: 0.7, throttled: 0.9, cleanup: 1, emergency: 2 });
  t.same(limits.memory?.actions, { warning: ['notify'], throttled: ['notify'], cleanup: [], emergency: ['kill'] });
  t.same(limits.tasks?.thresholds, { warning: 0.75, throttled: 0.9, cleanup: 1, emergency: 1.5 });
  t.match(ladder, { quietMs: 30_000, cpuWarmUpMs: 20_000, exitMargin: 0.025, starvation: null });
  t.same(ladder.escalateAfterMs, {
    memory: null,
    cpu: null,
    file_handles: 30_000,
    sockets: 60_000,
    runtime: null,
    temp_storage: 30_000,
    tasks: 10_000,
  });
  t.match(named(config, 'plain'), {
    sharing: 'shared',
    idleTimeoutMs: null,
    healthCheckMs: 60_000,
    cache: 'off',
    calls: { queue: 5, waitMs: 1_000 },
    leaks: { action: 'recycle_when_idle', warmUpMs: 300_000, windowMs: 28_800_000 },
    limits: { runtime: { limit: 300_000, renew: 'none', capMs: 600_000 } },
  });
  t.match(named(config, 'plain').recovery, {
    strategy: 'degrade',
    fallback: true,
    degraded: { class: 'light', limits: { memory: { limit: 268_435_456 }, sockets: { limit: 64 } }, callsAtOnce: 2 },
  });
  t.match(named(config, 'docs'), {
    command: 'https://example.org/mcp',
    remote: { url: 'https://example.org/mcp', headers: { Authorization: 'Bearer example.org' } },
    limits: { memory: null, cpu: null },
    sharing: 'shared',
    recovery: {
      strategy: 'restart-on-demand',
      budget: 5,
      degraded: { class: null, limits: null, callsAtOnce: 1 },
    },
    readyTimeoutMs: 5_000,
    idleTimeoutMs: 600_000,
    autostart: false,
    readiness: 'mcp',
    cache: {
      ttlMs: 30_000,
      patterns: [
        { uri: 'https://example.org/live/{+any}', ttlMs: 0, scope: null },
        { uri: 'https://example.org/{+any}', ttlMs: null, scope: 'public' },
      ],
    },
  });
  t.equal(named(config, 'plain').dryRun, true, 'the daemon’s dry_run holds where a tool says nothing');
});

t.test(
  'the runtime of calls elsewhere: the environment is stronger than the file, and says nothing else there',
  (t) => {
    const text = `version: 1
tools:
  plain: { url: "https://example.org/mcp" }
  held: { url: "https://example.org/mcp", limits: { runtime: { limit: 5m, cap: 1h } } }
`;
    const limitsOf = (env: Record<string, string>, name: string) => named(accepted(load(text, { env })), name).limits;
    t.equal(limitsOf({}, 'plain').runtime, null);
    t.match(limitsOf({}, 'held').runtime, { limit: 300_000, capMs: 3_600_000, source: { from: 'file' } });
    const env = { GOVERNOR_LIMIT_RUNTIME: '30s', GOVERNOR_LIMIT_MEMORY: '1GiB', GOVERNOR_LIMIT_CPU: 'none' };
    const source = { from: 'environment', detail: 'GOVERNOR_LIMIT_RUNTIME' };
    t.match(limitsOf(env, 'plain').runtime, { limit: 30_000, source });
    t.match(limitsOf(env, 'held').runtime, { limit: 30_000, capMs: 3_600_000, source });
    t.match(limitsOf(env, 'held'), { memory: null, cpu: null });
    t.notOk('lifted' in limitsOf(env, 'held'), 'nor does it lift what is not held');
    const lifted = limitsOf({ GOVERNOR_LIMIT_RUNTIME: 'none' }, 'held');
    t.equal(lifted.runtime, null);
    t.match(lifted.lifted, { runtime: source });
    t.end();
  },
);

t.test('how Governor signs in at a server elsewhere', async (t) => {
  const text = `version: 1
tools:
  short: { url: "https://example.org/mcp", auth: browser }
  long:
    url: http://127.0.0.1:8080/mcp
    auth: { browser: { client_id: me, client_secret: "\${SECRET}", issuer: "https://login.example.org", scopes: [a, b:c] } }
  robot:
    url: https://example.org/mcp
    auth: { client_credentials: { client_id: "\${ID}", client_secret: x, issuer: "http://localhost:1/tenant/" } }
  signer:
    url: https://example.org/mcp
    auth: { client_credentials: { client_id: r, private_key: keys/r.pem, issuer: "https://login.example.org" } }
`;
  const config = accepted(load(text, { env: { SECRET: 'hush', ID: 'robot' } }));
  const signIn = (name: string) => named(config, name).remote?.signIn;
  const nobody = { kind: 'browser', clientId: null, clientSecret: null, issuer: null, scopes: [] };
  t.same(signIn('short'), nobody);
  const login = 'https://login.example.org';
  t.same(signIn('long'), { ...nobody, clientId: 'me', clientSecret: 'hush', issuer: login, scopes: ['a', 'b:c'] });
  const robot = { kind: 'client_credentials', clientId: 'robot', key: { secret: 'x' }, scopes: [] };
  t.same(signIn('robot'), { ...robot, issuer: 'http://localhost:1/tenant/' }, 'an issuer is text, kept as it is');
  t.same(signIn('signer'), { ...robot, clientId: 'r', key: { file: '/etc/governor/keys/r.pem' }, issuer: login });
});

t.test('a tool that says nothing has the built-in limits', async (t) => {
  const tool = named(accepted(load('version: 1\ntools:\n  web: { command: node }\n')), 'web');
  t.same(origins(tool), {
    memory: [1_073_741_824, 'built-in', 'class standard: host memory 24 GiB / 8, at most 1 GiB', undefined],
    cpu: [100, 'built-in', 'class standard: 1 of 4 cores', undefined],
    file_handles: [1024, 'built-in', 'class standard: the same on every host', undefined],
    sockets: [256, 'built-in', 'class standard: the same on every host', undefined],
    runtime: null,
    temp_storage: [1_073_741_824, 'built-in', 'class standard: the same on every host', undefined],
    tasks: [1024, 'built-in', 'class standard: the same on every host', undefined],
  });
  t.match(tool, { autostart: true, readiness: 'mcp', graceMs: 5000, readyTimeoutMs: 30_000, dryRun: false });
  t.match(tool, { sharing: 'context', idleTimeoutMs: 600_000, healthCheckMs: 30_000 });
  t.same(tool.recovery, {
    strategy: 'restart',
    budget: 5,
    windowMs: 600_000,
    stableForMs: 60_000,
    returnAfterMs: 600_000,
    fallback: true,
    degraded: null,
  });
  t.equal(tool.cwd, '/etc/governor', 'the folder of the file');
});

t.test('what tools do not set for themselves they share; what one sets is its own', async (t) => {
  const text = `version: 1
tools:
  a: { command: node }
  b: { command: node }
  c: { command: node, ladder: { quiet: 30s } }
  d: { command: node, on_starvation: recycle }
  e: { command: node, stages: { memory: { warning: 50% } } }
`;
  const config = accepted(load(text));
  const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((name) => named(config, name)) as [
    ToolDefinition,
    ToolDefinition,
    ToolDefinition,
    ToolDefinition,
    ToolDefinition,
  ];
  t.equal(a.ladder, b.ladder);
  t.equal(a.limits.memory?.thresholds, b.limits.memory?.thresholds);
  t.equal(a.limits.memory?.actions, b.limits.memory?.actions);
  t.match([a.ladder.quietMs, a.ladder.starvation], [15_000, null]);
  t.match([c.ladder.quietMs, c.ladder.starvation], [30_000, null]);
  t.match(d.ladder, { quietMs: 15_000, starvation: {} });
  t.match(a.limits.memory?.thresholds, { warning: 0.75, throttled: 0.9 });
  t.match(e.limits.memory?.thresholds, { warning: 0.5, throttled: 0.9 });
  t.equal(e.limits.tasks?.thresholds, a.limits.tasks?.thresholds);
});

t.test('the YAML parser is loaded with the first file', async (t) => {
  const script = `
    import { createRequire } from 'node:module';
    const { cache } = createRequire(import.meta.url);
    const has = () => Object.keys(cache).some((path) => /node_modules.yaml.dist/.test(path));
    const { loadConfig } = await import(${JSON.stringify(join(projectRoot, 'dist/config/load.js'))});
    const seen = [has()];
    for (const path of [null, ${JSON.stringify(join(good, 'full.yaml'))}]) {
      const { ok } = loadConfig({ path, host: { memoryBytes: 1e9, cores: 1 }, env: { HOST: 'h' } });
      seen.push(ok, has());
    }
    console.log(JSON.stringify(seen));`;
  const stdout = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  t.same(JSON.parse(stdout), [false, true, false, true, true]);
});

t.test('environment is stronger than the file, the file than the class, the class than what is built in', async (t) => {
  const text =
    'version: 1\nclasses: { c: { memory: 3GiB, tasks: 3, sockets: 3 } }\ntools:\n  w: { command: x, class: c, limits: { memory: 2GiB, tasks: 2 } }\n';
  const tool = named(accepted(load(text, { env: { GOVERNOR_LIMIT_MEMORY: '1GiB' } })), 'w');
  t.same(
    RESOURCES.map((resource) => tool.limits[resource]?.source.from ?? null),
    ['environment', 'built-in', 'built-in', 'class', null, 'built-in', 'file'],
  );
  t.equal(tool.limits.memory?.limit, 1024 ** 3);
});

t.test('calls that wait: a tool before its class, that before what it extends, and the daemon last', async (t) => {
  const text = `version: 1
daemon: { calls: { queue: 7, wait: 7s } }
classes:
  base: { calls: { queue: 8 } }
  small: { extends: base, calls: { wait: 9s } }
tools:
  nothing: { command: x }
  classed: { command: x, class: small }
  own: { command: x, class: small, calls: { queue: 1, wait: 100ms } }
  half: { command: x, calls: { wait: 1h } }
`;
  const config = accepted(load(text));
  t.same(
    config.tools.map(({ name, calls }) => [name, calls.queue, calls.waitMs]),
    [
      ['nothing', 7, 7_000],
      ['classed', 8, 9_000],
      ['own', 1, 100],
      ['half', 7, 3_600_000],
    ],
  );
  const defined = config.define({ origin: 'api', body: { name: 'api', command: '/x', class: 'base' } });
  t.match(defined, { ok: true, value: { calls: { queue: 8, waitMs: 7_000 } } });
  t.same(named(accepted(load('version: 1\ntools: { w: { command: x } }\n')), 'w').calls, {
    queue: 100,
    waitMs: 30_000,
  });
});

t.test('runtime of calls: renewal and cap are kept by a layer that gives a limit only', async (t) => {
  const text = `version: 1
classes: { slow: { runtime: { limit: 5m, renew: none, cap: 30m, reason: builds } } }
tools:
  inherits: { command: x, class: slow }
  longer: { command: x, class: slow, limits: { runtime: 1h } }
  own: { command: x, limits: { runtime: { limit: 1s, renew: progress } } }
  plain: { command: x, class: slow, readiness: none }
`;
  const config = accepted(load(text));
  const runtime = (name: string) => named(config, name).limits.runtime;
  t.match(runtime('inherits'), { limit: 300_000, renew: 'none', capMs: 1_800_000, reason: 'builds' });
  t.match(runtime('longer'), { limit: 3_600_000, renew: 'none', capMs: 1_800_000 });
  t.match(runtime('own'), { limit: 1_000, renew: 'progress' });
  t.notOk('capMs' in (runtime('own') ?? {}));
  t.same(runtime('own')?.actions.cleanup, ['cancel_call']);
  t.notOk('capMs' in (runtime('plain') ?? {}), 'there the run is what it holds');
  t.same(runtime('plain')?.actions.cleanup, ['recycle']);
  const run = config.define({ origin: 'run', body: { name: 'inherits', command: '/x' } });
  t.match(run, { ok: true, value: { limits: { runtime: { limit: 300_000, actions: { cleanup: ['recycle'] } } } } });
});

t.test('what holds new calls back: by default everything but CPU and runtime, where calls pass Governor', async (t) => {
  const text = `version: 1
tools:
  served: { command: x, limits: { runtime: 1m } }
  refusing: { command: x, actions: { memory: { throttled: [refuse_calls, memory_high] }, cpu: { throttled: [queue_calls] } } }
  plain: { command: x, readiness: none }
`;
  const config = accepted(load(text));
  const throttled = (name: string): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries(
      RESOURCES.flatMap((resource) => {
        const limit = named(config, name).limits[resource];
        return limit === null ? [] : [[resource, limit.actions.throttled]];
      }),
    );
  t.same(throttled('served'), {
    memory: ['notify', 'queue_calls', 'memory_high'],
    cpu: ['notify', 'cpu_quota', 'nice'],
    file_handles: ['notify', 'queue_calls', 'soft_nofile'],
    sockets: ['notify', 'queue_calls', 'soft_nofile'],
    runtime: ['notify'],
    temp_storage: ['notify', 'queue_calls'],
    tasks: ['notify', 'queue_calls'],
  });
  t.match(throttled('refusing'), { memory: ['refuse_calls', 'memory_high'], cpu: ['queue_calls'] });
  t.match(throttled('plain'), { memory: ['notify', 'memory_high'], tasks: ['notify'] });
  const run = config.define({ origin: 'run', body: { name: 'refusing', command: '/x' } });
  t.match(run, { ok: true, value: { limits: { memory: { actions: { throttled: ['memory_high'] } } } } });
});

t.test('a tmpfs: the strongest layer that names a backing decides, whoever gives the limit', async (t) => {
  const text = `version: 1
classes: { fast: { temp_storage: { limit: 1GiB, inodes: 500, backing: tmpfs, reason: scratch } } }
tools:
  inherits: { command: x, class: fast }
  smaller: { command: x, class: fast, limits: { temp_storage: 64MiB } }
  disk: { command: x, class: fast, limits: { temp_storage: { limit: 64MiB, backing: disk } } }
  own: { command: x, limits: { temp_storage: { limit: 64MiB, backing: tmpfs } } }
  unlimited: { command: x, class: fast, limits: { temp_storage: { limit: none, backing: disk } } }
`;
  const config = accepted(load(text));
  const temp = (name: string) => named(config, name).limits.temp_storage;
  t.match(temp('inherits'), { limit: 1024 ** 3, inodes: 500, backing: 'tmpfs', reason: 'scratch' });
  t.match(temp('smaller'), { limit: 64 * 1024 ** 2, inodes: 500, backing: 'tmpfs' });
  t.match(temp('disk'), { limit: 64 * 1024 ** 2, inodes: 500 });
  t.notOk('backing' in (temp('disk') ?? {}), 'on disk there is nothing to say');
  t.match(temp('own'), { inodes: 131_072, backing: 'tmpfs' }, 'inodes of the class');
  t.equal(temp('unlimited'), null);
  const limited = accepted(load(text, { env: { GOVERNOR_LIMIT_TEMP_STORAGE: '32MiB' } }));
  t.match(named(limited, 'own').limits.temp_storage, { limit: 32 * 1024 ** 2, backing: 'tmpfs' });
  t.match(
    refused(
      load('version: 1\ntools: { w: { command: x, limits: { temp_storage: { limit: 1GiB, backing: tmpfs } } } }\n', {
        env: { GOVERNOR_LIMIT_TEMP_STORAGE: 'none' },
      }),
    ),
    [/backing: tmpfs .* needs a limit/],
    'never the disk instead, unasked',
  );
});

t.test('a class named like a built-in one takes what it does not say from that one', async (t) => {
  const config = accepted(
    load('version: 1\nclasses: { heavy: { cpu: 50% } }\ntools:\n  w: { command: x, class: heavy }\n'),
  );
  const { limits } = named(config, 'w');
  t.equal(limits.cpu?.limit, 50);
  t.equal(limits.file_handles?.limit, 4096);
});

t.test('none in the environment lifts a limit; an unknown or wrong variable is refused', async (t) => {
  const text = 'version: 1\ntools: { w: { command: x } }\n';
  const free = named(accepted(load(text, { env: { GOVERNOR_LIMIT_CPU: 'none' } })), 'w').limits;
  t.equal(free.cpu, null);
  t.match(free.lifted, { cpu: { from: 'environment', detail: /GOVERNOR_LIMIT_CPU/ } });
  t.same(Object.keys(free.lifted ?? {}), ['cpu'], 'nobody has said that of another');
  t.same(refused(load(text, { env: { GOVERNOR_LIMIT_MEMROY: '1GiB', GOVERNOR_LIMIT_CPU: '2' } })), [
    'environment variable GOVERNOR_LIMIT_CPU: "2" is not a percentage (write 2%)',
    'environment variable GOVERNOR_LIMIT_MEMROY is not known (did you mean "GOVERNOR_LIMIT_MEMORY"?)',
  ]);
});

t.test('all problems are told, in the order of the file', async (t) => {
  const text = `version: 1
daemon:
  sample_interval: 1ms
  listn: x
classes:
  a: { extends: b, memory: 512M }
  b: { extends: a }
tools:
  one:
    comand: node
    limits: { memory: 0MiB, cpu: 5 }
    class: nope
  two:
    command: node
    env: { A: "\${X}", B: 1 }
    recovery: { strategy: stop, budget: 5/10m }
  two: { command: x }
  three:
    command: node
    env: { A: "\${X}\${Y}" }
    recovery: { strategy: stop, budget: 5/10m }
  four:
    cwd: ~/x
    env: { A: "$HOME", TMPDIR: /x, B: "\${" }
    limits: { memory: 512M }
    on_starvation: recycle
    recovery: { strategy: stop, budget: 5/10m }
  five:
    url: ftp://example.org
    headers: { Host: x, A: 1, B: "\${NOPE}" }
`;
  t.same(refused(load(text)), [
    'limits.yaml:3:20: sample_interval: "1ms" is too small (write at least 100ms)',
    'limits.yaml:4:3: "listn" is not a known key (did you mean "listen"?)',
    'limits.yaml:6:17: extends: classes go in a circle: a → b → a (let one of them extend nothing, or light, standard or heavy)',
    'limits.yaml:6:28: memory: "512M" could mean two sizes (write 512MiB or 512MB)',
    'limits.yaml:9:3: "command" is missing (the program to run, such as command: node)',
    'limits.yaml:10:5: "comand" is not a known key (did you mean "command"?)',
    'limits.yaml:11:23: memory: "0MiB" is not above zero (write at least 1MiB)',
    'limits.yaml:11:34: cpu: 5 has no unit (write 5% or, for 5 cores, 500%)',
    'limits.yaml:12:12: class: there is no class "nope" (classes: light, standard, heavy, a, b)',
    'limits.yaml:15:16: A: the environment variable X is not set (set it, or write ${X:-default})',
    'limits.yaml:15:26: B: must be text, not a number (put it in quotes)',
    'limits.yaml:16:41: budget has no effect with strategy: stop (take one of them out)',
    'limits.yaml:17:3: tool "two" is given twice (it is on line 13 already)',
    'limits.yaml:20:16: A: the environment variable X is not set (set it, or write ${X:-default})',
    'limits.yaml:20:20: A: the environment variable Y is not set (set it, or write ${Y:-default})',
    'limits.yaml:21:41: budget has no effect with strategy: stop (take one of them out)',
    'limits.yaml:22:3: "command" is missing (the program to run, such as command: node)',
    'limits.yaml:23:10: cwd: "~" is not replaced (write an absolute path, or one relative to the folder of this file)',
    'limits.yaml:24:16: A: "$HOME" is not replaced (write ${HOME}, or $$HOME for the characters themselves)',
    'limits.yaml:24:24: env: TMPDIR is set by Governor (take it out)',
    'limits.yaml:24:40: B: "${" does not begin a variable (write ${NAME} or ${NAME:-default}, or $${ for the characters themselves)',
    'limits.yaml:25:23: memory: "512M" could mean two sizes (write 512MiB or 512MB)',
    'limits.yaml:29:10: url: ftp: is not possible here (write an http or https address)',
    'limits.yaml:30:16: headers: Host is set by the protocol (take it out)',
    'limits.yaml:30:28: A: must be text, not a number (put it in quotes)',
    'limits.yaml:30:35: B: the environment variable NOPE is not set (set it, or write ${NOPE:-default})',
  ]);
});

t.test('no message shows a value of the environment or an argument', async (t) => {
  const text =
    'version: 1\ntools:\n  w:\n    command: x\n    args: [{ token: hunter2 }, 31337]\n    env: { A: [hunter2], B: 31337, C: "hunter2 ${X}" }\n';
  const lines = refused(load(text));
  t.ok(lines.length >= 4);
  t.notMatch(lines.join('\n'), /hunter2|31337/);
});

t.test('what YAML allows is read: byte order mark, CRLF, anchors, numbers as names, flow style', async (t) => {
  const text =
    '\ufeffversion: 1\r\ntools:\r\n  404: { command: x, env: &e { A: b } }\r\n  true: { command: y, env: *e }\r\n';
  const config = accepted(load(text));
  t.same(
    config.tools.map(({ name, env }) => [name, env]),
    [
      ['404', { A: 'b' }],
      ['true', { A: 'b' }],
    ],
  );
});

t.test('an alias means the anchor before it', async (t) => {
  const text =
    'version: 1\ntools:\n  a: { command: &x one }\n  b: &b { command: *x }\n  c: { command: &x two }\n  d: *b\n  e: { command: *x }\n';
  t.same(
    accepted(load(text)).tools.map(({ command }) => command),
    ['one', 'one', 'two', 'one', 'two'],
  );
});

t.test('a mistake behind an alias is told once for the anchor', async (t) => {
  const text = 'version: 1\ntools:\n  a: { command: x, limits: &l { memory: 5 } }\n  b: { command: y, limits: *l }\n';
  t.same(refused(load(text)), ['limits.yaml:3:41: memory: 5 has no unit (write 5MiB)']);
});

t.test('without a file everything is built in', async (t) => {
  const config = accepted(loadConfig({ path: null, host, env: {} }));
  t.equal(config.file, null);
  t.same(config.tools, []);
  t.match(config.daemon, {
    listen: { host: '127.0.0.1', port: 7717 },
    auth: { api: 'token', mcp: 'token', metrics: 'none' },
  });
});

t.test('--listen is stronger than GOVERNOR_LISTEN, and that than the file', async (t) => {
  const text = 'version: 1\ndaemon: { listen: 127.0.0.1:1 }\n';
  const env = { GOVERNOR_LISTEN: '127.0.0.1:2' };
  t.equal(accepted(load(text)).daemon.listen.port, 1);
  t.equal(accepted(load(text, { env })).daemon.listen.port, 2);
  t.equal(accepted(load(text, { env, listen: '127.0.0.1:3' })).daemon.listen.port, 3);
  t.same(refused(load(text, { listen: '3' })), ['--listen: "3" has no host (write 127.0.0.1:3)']);
  t.same(refused(load('version: 1\ndaemon: { auth: { api: none } }\n', { listen: '[::]:1' })), [
    'limits.yaml:2:24: api: none is only possible on a loopback address, and listen is :: (write api: token, or listen on 127.0.0.1)',
  ]);
});

t.test('files that cannot be read', async (t) => {
  const folder = t.testdir({ dir: {}, large: `version: 1\n#${'x'.repeat(1024 * 1024)}\n` });
  const fifo = join(folder, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const loop = join(folder, 'loop');
  symlinkSync(loop, loop);
  const cases = [
    ['missing', 'there is no such file (name one that exists)'],
    ['dir', 'is not a file (name a limits.yaml)'],
    ['fifo', 'is not a file (name a limits.yaml)'],
    ['large/file', 'there is no such file (name one that exists)'],
    ['loop', 'cannot be read (ELOOP) (check the path and the disk)'],
    ['large', 'is larger than 1 MiB (a limits.yaml is a page or two)'],
  ] as const;
  for (const [name, message] of cases) {
    const path = join(folder, name);
    t.same(refused(checkConfigFile(path, {})), [`${path}: ${message}`]);
  }
});

t.test('hostile documents end in a message', async (t) => {
  const deep = [
    `version: 1\ntools: ${'['.repeat(400_000)}`,
    `version: 1\ntools: ${'['.repeat(40)}${']'.repeat(40)}\n`,
    `version: 1\ntools: ${'{a: '.repeat(100_000)}`,
    `${'a:\n '.repeat(3)}${'- '.repeat(300_000)}`,
  ];
  for (const text of deep) t.equal(refused(load(text)).length, 1, text.slice(0, 30));
  t.equal(refused(load(`version: 1\ntools:\n${'  - a\n'.repeat(60_000)}`)).length, 1, 'too many values');
});

t.test('the place of nesting that is too deep', async (t) => {
  t.same(refused(load(`version: 1\ntools: { a: ${'['.repeat(40)}${']'.repeat(40)} }\n`)), [
    'limits.yaml:2:44: is nested too deeply (at most 32 levels)',
  ]);
});

t.test('ten thousand tools are read', async (t) => {
  const tools = Array.from({ length: 10_000 }, (_, index) => `  tool-${index}: { command: x }\n`);
  t.equal(accepted(load(`version: 1\ntools:\n${tools.join('')}`)).tools.length, 10_000);
});

t.test('the file of this repository is valid', async (t) => {
  const config = accepted(checkConfigFile(join(projectRoot, 'limits.yaml'), {}));
  t.same(
    config.tools.map(({ name, autostart, cwd }) => [name, autostart, cwd]),
    [
      ['everything', true, projectRoot],
      ['filesystem', true, projectRoot],
    ],
  );
});

function load(text: string, more: Partial<LoadOptions> = {}): ReturnType<typeof loadConfig> {
  return loadConfig({ path: '/etc/governor/limits.yaml', text, host, env: {}, ...more });
}

function accepted(result: ReturnType<typeof loadConfig>): Config {
  if (!result.ok) throw new Error(result.error.map(formatProblem).join('\n'));
  return result.value;
}

function refused(result: ReturnType<typeof loadConfig>): readonly string[] {
  if (result.ok) throw new Error('was accepted');
  return result.error.map((problem) => formatProblem(problem).replace('/etc/governor/', ''));
}

function named(config: Config, name: string): ToolDefinition {
  const tool = config.tools.find((each) => each.name === name);
  if (tool === undefined) throw new Error(`no tool ${name}`);
  return tool;
}

function origins(tool: ToolDefinition): Record<string, unknown> {
  const origin = (limit: ResolvedLimit | null): unknown =>
    limit && [limit.limit, limit.source.from, limit.source.detail, limit.reason];
  return Object.fromEntries(RESOURCES.map((resource) => [resource, origin(tool.limits[resource])]));
}

t.test('adaptive: with the limit that it was written with, of a tool or its class', async (t) => {
  const text = `version: 1
classes:
  roomy: { memory: { limit: 1GiB, adaptive: { min: 512MiB, max: 4GiB } }, tasks: { limit: 64, adaptive: { min: 16, max: 512 } } }
tools:
  a: { command: "true", class: roomy, limits: { cpu: { limit: 50%, adaptive: { min: 12.5%, max: 200% }, reason: because } } }
  b: { command: "true", class: roomy, limits: { memory: 2GiB } }
  c: { command: "true", class: roomy, limits: { memory: none } }
`;
  const config = accepted(load(text));
  const adaptive = (name: string): unknown[] => {
    const { memory, cpu, tasks } = named(config, name).limits;
    return [memory, cpu, tasks].map((limit) => limit?.adaptive ?? null);
  };
  const [GIB, tasks] = [1024 ** 3, { min: 16, max: 512 }];
  t.same(adaptive('a'), [{ min: GIB / 2, max: 4 * GIB }, { min: 12.5, max: 200 }, tasks]);
  t.same(adaptive('b'), [null, null, tasks], 'a limit of the tool itself is no part of the bounds of its class');
  t.same(adaptive('c'), [null, null, tasks]);
  t.equal(named(config, 'a').limits.cpu?.reason, 'because');
  const byEnvironment = accepted(loadConfig({ path: '/l.yaml', text, host, env: { GOVERNOR_LIMIT_TASKS: '9' } }));
  t.notOk(named(byEnvironment, 'a').limits.tasks?.adaptive);
});

t.test('limits that runs share: of all tools, and by context', async (t) => {
  const { budgets } = accepted(
    loadConfig({ path: join(good, 'shared.yaml'), host, env: { GOVERNOR_LIMIT_MEMORY: '1GiB' } }),
  );
  t.match(budgets.host.memory, {
    limit: 6 * 1024 ** 3,
    reason: 'leaves room for the desktop',
    source: { from: 'file', detail: 'budget (shared.yaml:4:13)' },
    thresholds: { warning: 0.75, emergency: 1.5 },
  });
  t.match(budgets.host, {
    cpu: { limit: 300 },
    temp_storage: { limit: 4 * 1024 ** 3, inodes: 1000 },
    tasks: null,
    runtime: null,
  });
  const of = (id: string): unknown => {
    const { memory, tasks, sockets } = limitsOfContext(id, budgets.contexts);
    return [memory, tasks, sockets].map((limit) => limit && [limit.limit, limit.source.detail]);
  };
  t.same(of('chat'), [
    [2 * 1024 ** 3, 'context default (shared.yaml:8:22)'],
    [500, 'context default (shared.yaml:8:35)'],
    null,
  ]);
  t.same(of('ci-8'), [null, [500, 'context default (shared.yaml:8:35)'], [40, 'context ci-* (shared.yaml:9:36)']]);
  t.same(of('ci-7'), [null, [10, 'context ci-7 (shared.yaml:10:18)'], [40, 'context ci-* (shared.yaml:9:36)']]);
  t.match(accepted(load('version: 1\n')).budgets, { host: { memory: null }, contexts: [], dryRun: false });
  t.match(accepted(load('version: 1\ndaemon: { dry_run: true }\n')).budgets, { dryRun: true });
});
