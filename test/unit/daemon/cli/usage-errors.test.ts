import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { governorVersion } from '../../../../daemon/cli/version.ts';
import { governor, temporaryFolder } from './harness.ts';

const MAIN = join(import.meta.dirname, '../../../../daemon/main.js');

t.test('help and version', async (t) => {
  t.match(await governor(['--version']), { code: 0, out: `${governorVersion()}\n`, err: /^$/ });
  t.match(governorVersion(), /^\d+\.\d+\.\d+/);
  t.throws(() => governorVersion('/'), /no package\.json of mcp-governor above/);
  const { code, out } = await governor(['--help']);
  t.equal(code, 0);
  t.match(out, /^Examples:$/m);
  t.match(out, /^Exit codes: /m);
  for (const absent of ['top', 'wrap', 'ensure-daemon', 'complete-names', 'run-arguments']) {
    t.notMatch(out, new RegExp(`^ +${absent}\\b`, 'm'), `${absent} is not listed`);
  }
  for (const words of [
    ['ls'],
    ['usage'],
    ['recommend'],
    ['start'],
    ['stop'],
    ['restart'],
    ['set'],
    ['events'],
    ['logs'],
    ['daemon'],
    ['daemon', 'stop'],
    ['audit'],
    ['audit', 'show'],
    ['audit', 'verify'],
    ['audit', 'export'],
    ['config', 'check'],
    ['doctor'],
    ['completion'],
    ['run'],
  ]) {
    const help = await governor([...words, '--help']);
    t.equal(help.code, 0, `${words.join(' ')} --help`);
    for (const option of ['--config', '--state-dir', '--listen', '--json'])
      t.match(help.out, option, `${words.join(' ')} has ${option}`);
  }
  t.match(await governor(['help', 'audit']), { code: 0, out: /show/ });
});

/** What is typed, and the first line of the answer. */
const MISTAKES: readonly (readonly [string, string])[] = [
  ['lz', "governor: unknown command 'lz'"],
  ['--nonsense', "governor: unknown option '--nonsense'"],
  ['ls --nonsense', "governor: unknown option '--nonsense'"],
  ['ls a b', "governor: too many arguments for 'ls'. Expected 1 argument but got 2."],
  ['ls --state-dir', "governor: option '--state-dir <dir>' argument missing"],
  ['start', "governor: missing required argument 'name'"],
  ['start a b', "governor: too many arguments for 'start'. Expected 1 argument but got 2."],
  ['stop', "governor: missing required argument 'name[/run]'"],
  ['restart', "governor: missing required argument 'name[/run]'"],
  ['set', "governor: missing required argument 'name'"],
  ['set a', "governor: missing required argument 'key=value'"],
  ['logs', "governor: missing required argument 'name'"],
  [
    'logs a -n 0',
    "governor: option '-n, --lines <count>' argument '0' is invalid. Write a whole number from 1 to 10000.",
  ],
  [
    'logs a -n 1.5',
    "governor: option '-n, --lines <count>' argument '1.5' is invalid. Write a whole number from 1 to 10000.",
  ],
  [
    'events --since-id -1',
    "governor: option '--since-id <id>' argument '-1' is invalid. Write a whole number from 0 to 9007199254740991.",
  ],
  ['events now', "governor: too many arguments for 'events'. Expected 0 arguments but got 1."],
  ['daemon start', "governor: too many arguments for 'daemon'. Expected 0 arguments but got 1."],
  ['audit lost', "governor: unknown command 'lost'"],
  [
    'audit show --kind none',
    "governor: option '--kind <kind>' argument 'none' is invalid. Allowed choices are daemon, lifecycle, stage, action, intent, outcome, cleanup, limits, budget, anomaly, recovery, sign_in, leak, retention, lost.",
  ],
  [
    'audit show -n many',
    "governor: option '-n, --limit <count>' argument 'many' is invalid. Write a whole number from 1 to 10000.",
  ],
  [
    'audit show --since yesterday',
    'governor audit show: --since "yesterday" is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 10m',
  ],
  [
    'audit show --until 2026-13-01',
    'governor audit show: --until "2026-13-01" is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 10m',
  ],
  [
    'audit export --format xml',
    "governor: option '--format <format>' argument 'xml' is invalid. Allowed choices are jsonl, csv.",
  ],
  [
    'audit export --since soon',
    'governor audit export: --since "soon" is neither a time such as 2026-01-31T12:00:00Z nor a duration such as 10m',
  ],
  ['config', 'Usage: governor config [options] [command]'],
  ['config check', "governor: missing required argument 'file'"],
  ['completion', "governor: missing required argument 'shell'"],
  ['top', "governor: unknown command 'top'"],
  ['help bogus', "governor: unknown command 'bogus'"],
  ['completion tcsh', 'governor completion: there is none for "tcsh"; shells: bash, zsh, fish'],
  ['audit', 'Usage: governor audit [options] [command]'],
  ['', 'Usage: governor [options] [command]'],
  ['set a b', 'governor set: "b" is not key=value, such as memory=512MiB'],
];

t.test('every mistake in the words ends with 2 and says what is wrong', async (t) => {
  const env = { GOVERNOR_STATE_DIR: temporaryFolder(t) };
  for (const [typed, first] of MISTAKES) {
    const { code, out, err } = await governor(
      typed.split(' ').filter((word) => word !== ''),
      { env },
    );
    t.match({ code, out }, { code: 2, out: /^$/ }, `governor ${typed}`);
    t.equal(err.split('\n')[0], first);
  }
});

t.test('with --json a mistake in the words is one document, and nothing else', async (t) => {
  const env = { GOVERNOR_STATE_DIR: temporaryFolder(t) };
  const cases: readonly (readonly [string, RegExp])[] = [
    ['lz', /^unknown command 'lz'$/],
    ['ls --nonsense', /^unknown option '--nonsense'$/],
    ['start', /^missing required argument 'name'$/],
    ['help bogus', /^unknown command 'bogus'$/],
    ['config', /^a command is missing$/],
    ['set a b', /^"b" is not key=value, such as memory=512MiB$/],
    ['audit show --since yesterday', /^--since "yesterday" is neither a time/],
    ['audit export --format csv', /^--json and --format csv exclude each other$/],
    ['completion tcsh', /^there is none for "tcsh"/],
  ];
  for (const [typed, detail] of cases) {
    const { code, out, err } = await governor([...typed.split(' '), '--json'], { env });
    t.match({ code, out }, { code: 2, out: /^$/ }, typed);
    t.match(JSON.parse(err), { type: '/docs/errors#invalid_request', code: 'invalid_request', title: String, detail });
  }
  t.match((await governor(['top'])).err, /^\(Did you mean usage\?\)$/m);
  t.match(await governor(['help', 'ls']), { code: 0, err: /^$/ });
  t.match(await governor(['help', 'ps']), { code: 0, out: /^Usage: governor ls/ });
});

t.test('no daemon: one line, exit code 1', async (t) => {
  const folder = temporaryFolder(t);
  const env = { GOVERNOR_STATE_DIR: folder };
  const message = `governor: no daemon is running for ${folder}; start one with: governor daemon\n`;
  for (const typed of [
    'ls',
    'usage',
    'usage x',
    'start x',
    'stop x',
    'restart x',
    'set x memory=1GiB',
    'events',
    'logs x',
    'daemon stop',
  ]) {
    t.match(await governor(typed.split(' '), { env }), { code: 1, out: /^$/, err: message }, typed);
  }
  const { code, out, err } = await governor(['ls', '--json'], { env });
  t.match({ code, out }, { code: 1, out: /^$/ });
  t.match(JSON.parse(err), { code: 'daemon_unreachable', status: 503, detail: message.slice('governor: '.length, -1) });
  t.match(await governor(['ls', '--state-dir', `/${'x'.repeat(120)}`]), {
    code: 1,
    err: /has 135 bytes, the system allows 107/,
  });
  t.match(await governor(['ls']), { code: 1, err: /neither GOVERNOR_STATE_DIR, XDG_STATE_HOME nor HOME is set/ });
});

t.test('run through Node', async (t) => {
  t.match(await governor(['run']), {
    code: 125,
    out: /^$/,
    err: /^governor run: there is no command to run .*\n\(see: governor run --help\)\n$/,
  });
  t.match(await governor(['run', '--memory', '5M', '--', 'x']), {
    code: 125,
    err: /^governor run: --memory: .*write 5MiB or 5MB/,
  });
  t.match(await governor(['--state-dir', '/s', 'run', 'x']), {
    code: 125,
    err: 'governor run: write options after run: governor run --state-dir /s …\n',
  });
  t.match(await governor(['run', 'x']), { code: 125, err: /started by the script daemon\/bin\/governor/ });
  t.match(await governor(['run', '--memory', '1GiB', '--help']), { code: 0, out: /^Usage: governor run/ });
  t.match(await governor(['run', 'x', '--help']), { code: 125, out: /^$/ }, 'the help of the command is its own');
  const printed = await governor(['run-arguments', '--cpu', '50%', '--', 'x', '--json']);
  t.equal(printed.code, 0);
  t.match(JSON.parse(printed.out), { flags: { limits: { cpu: '50%' } }, command: ['x', '--json'], commandIndex: 3 });
});

t.test('as a process', async (t) => {
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [MAIN, ...words], {
      encoding: 'utf8',
      env: { ...process.env, GOVERNOR_STATE_DIR: temporaryFolder(t) },
    });
  t.match(run('--version'), { status: 0, stdout: `${governorVersion()}\n`, stderr: /^$/ });
  t.match(run('ls'), { status: 1, stdout: /^$/, stderr: /^governor: no daemon is running/ });
  t.match(run('nonsense'), { status: 2, stdout: /^$/ });
  t.match(run('run'), { status: 125, stdout: /^$/ });
});

t.test('a reader that goes away is no failure', async (t) => {
  // A FIFO whose only reader has left: every write fails with EPIPE.
  const script =
    'mkfifo "$2"; sleep 60 <"$2" & exec 3>"$2"; kill $!; wait $! 2>/dev/null; "$0" "$1" --help >&3; echo "code $?"';
  const shell = spawnSync('sh', ['-c', script, process.execPath, MAIN, join(temporaryFolder(t), 'fifo')], {
    encoding: 'utf8',
  });
  t.match(shell, { stdout: 'code 0\n', stderr: /^$/ });
});
