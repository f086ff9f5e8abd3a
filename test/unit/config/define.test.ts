import t from 'tap';
import { parseLimitPatch } from '../../../config/define.ts';
import type { DefineInput } from '../../../config/define.ts';
import { loadConfig } from '../../../config/load.ts';
import { formatProblem } from '../../../lib/core/errors.ts';
import type { Problem } from '../../../lib/core/errors.ts';
import type { Result } from '../../../lib/core/result.ts';
import type { ToolDefinition } from '../../../lib/supervisor/governor.ts';

const FILE = `version: 1
daemon: { dry_run: true }
classes: { mine: { memory: 300MiB, tasks: 50 } }
tools:
  known:
    command: node
    env: { SECRET: x }
    class: mine
    limits: { cpu: { limit: 40%, reason: shared } }
    stages: { memory: { warning: 60% } }
    grace: 9s
    recovery: { budget: 2/1m }
`;

t.test('a REST body', async (t) => {
  const tool = accepted(
    define({
      origin: 'api',
      body: {
        name: 'web',
        command: 'node',
        args: ['a', '${HOME}'],
        env: { A: '${HOME}' },
        limits: { memory: '64MiB', tasks: 7, sockets: 'none' },
        class: 'mine',
      },
    }),
  );
  t.match(tool, {
    name: 'web',
    args: ['a', '${HOME}'],
    env: { A: '${HOME}' },
    cwd: null,
    origin: 'api',
    autostart: false,
    readiness: 'mcp',
    dryRun: true,
  });
  t.same(tool.limits.memory?.source, { from: 'api', detail: 'POST /v1/tools' });
  t.equal(tool.limits.tasks?.limit, 7);
  t.equal(tool.limits.sockets, null);
  t.equal(tool.limits.cpu?.source.from, 'built-in');
});

t.test('a body may ask for a tmpfs, but not for one without a size', async (t) => {
  const temp_storage = { limit: '64MiB', inodes: 10, backing: 'tmpfs', reason: 'scratch' };
  const tool = accepted(define({ origin: 'api', body: { name: 'web', command: 'node', limits: { temp_storage } } }));
  t.match(tool.limits.temp_storage, { limit: 64 * 1024 ** 2, inodes: 10, backing: 'tmpfs', reason: 'scratch' });
  const unlimited = { name: 'web', command: 'node', limits: { temp_storage: { limit: 'none', backing: 'tmpfs' } } };
  t.same(refused(define({ origin: 'api', body: unlimited })), [
    '/limits/temp_storage: temp_storage: backing: tmpfs of POST /v1/tools needs a limit, and there is none (give it one, or write { limit: none, backing: disk })',
  ]);
});

t.test('REST bodies that are refused, each with a pointer', async (t) => {
  const cases: readonly (readonly [unknown, readonly string[]])[] = [
    [null, ['has no value (write a mapping, or leave the key out)']],
    [[], ['must be a mapping, not a list (write key: value pairs)']],
    [
      {},
      [
        '/name: "name" is missing (the name of the tool)',
        '/command: "command" is missing (the program to run, such as command: node)',
      ],
    ],
    [
      { name: 'a/b', command: 'x' },
      [
        `/name: name: a tool name has 1 to 64 characters: letters, digits, marks, spaces and . _ - @ + : ' " ( ); "/" at character 2 is not allowed (choose another name)`,
      ],
    ],
    [
      { name: 'a', command: 'x', limits: { memory: 5, 'a/b': 1 } },
      [
        '/limits/memory: memory: 5 has no unit (write 5MiB)',
        '/limits/a~1b: "a/b" is not a known key (known keys: memory, cpu, file_handles, sockets, runtime, temp_storage, tasks)',
      ],
    ],
    [
      { name: 'a', command: 'x', autostart: true },
      [
        '/autostart: "autostart" is not enforced by this version of Governor (only the tools of limits.yaml start with the daemon; take it out)',
      ],
    ],
    [
      { name: 'a', command: 'x', url: 'y' },
      [
        '/url: "url" is not enforced by this version of Governor (servers elsewhere are defined in limits.yaml only; take it out)',
      ],
    ],
    [
      { name: 'a', command: 'x', cwd: 'rel', class: 'mien', env: { TMPDIR: 'x', 'A=B': 'y' } },
      [
        '/class: class: there is no class "mien" (did you mean "mine"?)',
        '/cwd: cwd: must be an absolute path (such as /srv/tool)',
        '/env/TMPDIR: env: TMPDIR is set by Governor (take it out)',
        '/env/A=B: env: "A=B" is not possible as a name (a name is not empty and has no = in it)',
      ],
    ],
    [
      { name: 'a', command: 'npx -y thing' },
      ['/command: command: looks like a whole command line (write command: npx and the other words in args: [ … ])'],
    ],
    [
      { name: 'a', command: 'x', recovery: { strategy: 'stop', budget: '5/10m' } },
      ['/recovery/budget: budget has no effect with strategy: stop (take one of them out)'],
    ],
    [
      { name: 'a', command: 'x', actions: { memory: { cleanup: ['boom'] } } },
      [
        '/actions/memory/cleanup/0: cleanup[0]: "boom" is not possible here (possible for memory: notify, queue_calls, refuse_calls, memory_high, cpu_quota, nice, recycle, stop, kill)',
      ],
    ],
  ];
  for (const [body, lines] of cases) t.same(refused(define({ origin: 'api', body })), lines, JSON.stringify(body));
});

t.test('flags of a run that is not in the file', async (t) => {
  const body = {
    name: 'adhoc',
    command: 'npx',
    args: ['-y', 'x'],
    cwd: '/srv',
    class: 'heavy',
    limits: { memory: '64MiB' },
    dry_run: false,
  };
  const tool = accepted(define({ origin: 'run', body }));
  t.match(tool, {
    origin: 'run',
    class: 'heavy',
    cwd: '/srv',
    env: {},
    autostart: false,
    readiness: 'none',
    dryRun: false,
  });
  t.equal(tool.recovery.strategy, 'stop', 'only its client can start a direct run again');
  t.same(tool.limits.memory?.source, { from: 'flag', detail: '--memory' });
  t.equal(tool.limits.tasks?.source.from, 'built-in');
});

t.test('a run of a tool of the file takes its limits, not its command', async (t) => {
  const body = { name: 'known', command: 'python3', args: [], limits: { tasks: '9' } };
  const tool = accepted(define({ origin: 'run', body, environment: { GOVERNOR_LIMIT_SOCKETS: '5' } }));
  t.match(tool, { command: 'python3', args: [], env: {}, cwd: null, class: 'mine', graceMs: 9000, dryRun: true });
  t.same(
    [tool.limits.tasks, tool.limits.sockets, tool.limits.cpu, tool.limits.memory].map((limit) => [
      limit?.limit,
      limit?.source.from,
    ]),
    [
      [9, 'flag'],
      [5, 'environment'],
      [40, 'file'],
      [300 * 1024 ** 2, 'class'],
    ],
  );
  t.equal(tool.limits.cpu?.reason, 'shared');
  t.equal(tool.limits.memory?.thresholds.warning, 0.6);
});

t.test('flags that are refused are named as flags', async (t) => {
  const run = (more: object, environment?: Record<string, string>): readonly string[] =>
    refused(
      define({ origin: 'run', body: { name: 'a', command: 'x', ...more }, ...(environment ? { environment } : {}) }),
    );
  t.same(run({ limits: { memory: '512M', file_handles: '0' }, grace: '5' }), [
    '--memory: "512M" could mean two sizes (write 512MiB or 512MB)',
    '--file-handles: "0" is not above zero (write at least 1)',
    '--grace: "5" is not a duration (write 5s or 5ms)',
  ]);
  t.same(run({ class: 'hevy' }), ['--class: there is no class "hevy" (did you mean "heavy"?)']);
  t.same(run({ readiness: 'mcp' }), [
    '--readiness: "readiness" is not a known key (known keys: name, command, args, cwd, class, limits, grace, dry_run)',
  ]);
  t.same(run({}, { GOVERNOR_LIMIT_TASKS: 'x' }), [
    'environment variable GOVERNOR_LIMIT_TASKS: "x" is not a whole number (write a whole number such as 1024)',
  ]);
});

t.test('new limits for a live tool', async (t) => {
  t.same(parseLimitPatch({ memory: '1GiB', runtime: null, cpu: 'none', tasks: '12' }), {
    ok: true,
    value: { memory: 1024 ** 3, cpu: null, runtime: null, tasks: 12 },
  });
  const lines = (limits: unknown): readonly string[] => refused(parseLimitPatch(limits));
  t.same(lines({}), [
    '/limits: no limit is given (name at least one of memory, cpu, file_handles, sockets, runtime, temp_storage, tasks)',
  ]);
  t.same(lines({ memory: 5, disk: 1 }), [
    '/limits/memory: memory: 5 has no unit (write 5MiB)',
    '/limits/disk: "disk" is not a known key (known keys: memory, cpu, file_handles, sockets, runtime, temp_storage, tasks)',
  ]);
  t.same(lines(undefined), ['/limits: "limits" is missing (what to change, such as {"limits": {"memory": "512MiB"}})']);
  t.same(lines(null), ['/limits: limits: has no value (write a mapping, or leave the key out)']);
  t.same(lines('x'), ['/limits: limits: must be a mapping, not text (write key: value pairs)']);
});

function define(input: DefineInput): Result<ToolDefinition, readonly Problem[]> {
  const config = loadConfig({
    path: '/etc/limits.yaml',
    text: FILE,
    host: { memoryBytes: 8 * 1024 ** 3, cores: 2 },
    env: {},
  });
  if (!config.ok) throw new Error(config.error.map(formatProblem).join('\n'));
  return config.value.define(input);
}

function accepted(result: Result<ToolDefinition, readonly Problem[]>): ToolDefinition {
  if (!result.ok) throw new Error(result.error.map(formatProblem).join('\n'));
  return result.value;
}

function refused(result: Result<unknown, readonly Problem[]>): readonly string[] {
  if (result.ok) throw new Error('was accepted');
  return result.error.map(formatProblem);
}
