import t from 'tap';
import { parseRunArguments } from '../../../../daemon/cli/run-arguments.ts';
import { parseCount, parseDuration, parsePercent, parseSize } from '../../../../config/units.ts';
import { formatProblem } from '../../../../lib/core/errors.ts';

const NOTHING = {
  limits: {},
  name: null,
  class: null,
  context: null,
  grace: null,
  detach: false,
  dryRun: false,
  stateDir: null,
  config: null,
  listen: null,
  json: false,
};

function parsed(...words: string[]) {
  const result = parseRunArguments(words);
  if (!result.ok) throw new Error(result.error.map(formatProblem).join('; '));
  return result.value;
}

function refusal(...words: string[]): string {
  const result = parseRunArguments(words);
  return result.ok ? 'accepted' : result.error.map(formatProblem).join('; ');
}

t.test('where the command begins', async (t) => {
  t.same(parsed('--', 'npx', '-y', 'x'), { flags: NOTHING, command: ['npx', '-y', 'x'], commandIndex: 1 });
  t.same(parsed('npx', '-y', 'x'), { flags: NOTHING, command: ['npx', '-y', 'x'], commandIndex: 0 });
  t.same(
    parsed('--memory', '256MiB', 'node', '--memory', '1').command,
    ['node', '--memory', '1'],
    'flags after the command are its own',
  );
  t.same(parsed('--memory=256MiB', '--', 'node').commandIndex, 2);
  t.same(parsed('tool', '--', 'x').command, ['tool', '--', 'x'], 'a later -- belongs to the command');
  t.same(
    parsed('--', '--odd', '').command,
    ['--odd', ''],
    'after -- a command may look like a flag, and empty words stay',
  );
  t.same(parsed('-', 'x').command, ['-', 'x']);
  t.same(parsed('--', '--', 'x').command, ['--', 'x']);
});

t.test('every flag', async (t) => {
  const { flags } = parsed(
    '--memory',
    '256MiB',
    '--cpu=50%',
    '--file-handles',
    '64',
    '--sockets',
    '8',
    '--runtime',
    '1h30m',
    '--temp-storage',
    '1GiB',

    '--tasks=32',
    '--class',
    'heavy',
    '--name',
    'my tool',
    '--context',
    'session 1',
    '--grace',
    '2s',
    '--detach',
    '--dry-run',
    '--state-dir',
    '/s',
    '--config=c.yaml',
    '--listen',
    '127.0.0.1:0',
    '--json',
    'cmd',
  );
  t.same(flags, {
    limits: {
      memory: '256MiB',
      cpu: '50%',
      file_handles: '64',
      sockets: '8',
      runtime: '1h30m',
      temp_storage: '1GiB',
      tasks: '32',
    },
    name: 'my tool',
    class: 'heavy',
    context: 'session 1',
    grace: '2s',
    detach: true,
    dryRun: true,
    stateDir: '/s',
    config: 'c.yaml',
    listen: '127.0.0.1:0',
    json: true,
  });
  t.equal(parsed('--tool', 'a', 'x').flags.name, 'a', '--tool is --name');
  t.equal(parsed('--tool', 'a', '--name', 'b', 'x').flags.name, 'b');
  t.equal(parsed('--name', 'b', '--tool', 'a', 'x').flags.name, 'a', 'the last one counts');
  t.equal(parsed('--memory', '1GiB', '--memory', '2GiB', 'x').flags.limits.memory, '2GiB');
});

t.test('refusals say where and what would be right', async (t) => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [[], 'there is no command to run (write: governor run [flags] -- COMMAND [ARGUMENTS])'],
    [['--'], 'there is no command to run (write: governor run [flags] -- COMMAND [ARGUMENTS])'],
    [['--', ''], 'there is no command to run (write: governor run [flags] -- COMMAND [ARGUMENTS])'],
    [['--detach'], 'there is no command to run (write: governor run [flags] -- COMMAND [ARGUMENTS])'],
    [['--memory'], '--memory: a value is missing (write --memory SIZE)'],
    [['--memory', '--', 'x'], '--memory: a value is missing (write --memory SIZE)'],
    [['--memory=', 'x'], '--memory: a value is missing (write --memory SIZE)'],
    [['--detach=yes', 'x'], '--detach: this flag takes no value (write --detach)'],
    [
      ['--memry', '1GiB', 'x'],
      '--memry: governor run has no such flag (did you mean --memory? a flag of the tool goes after the command)',
    ],
    [['-y', 'x'], '-y: governor run has no such flag (a flag of the tool goes after the command)'],
    [
      ['--context', 'a\nb', 'x'],
      '--context: "a\\nb" cannot name a context (1 to 256 characters, no control characters)',
    ],
  ];
  for (const [words, message] of cases) t.equal(refusal(...words), message);
  t.match(refusal('--name', 'a/b', 'x'), /^--name: a tool name has .* "\/" at character 2 is not allowed$/);
});

t.test('amounts are judged as in limits.yaml, all at once', async (t) => {
  const wrong = (flag: string, result: ReturnType<typeof parseSize>): string =>
    result.ok ? 'right' : formatProblem({ where: { pointer: flag }, ...result.error });
  t.match(refusal('--memory', '512M', 'x'), /^--memory: .*write 512MiB or 512MB/);
  t.equal(refusal('--memory', '0MiB', 'x'), '--memory: "0MiB" is not above zero (write at least 1MiB)');
  t.equal(refusal('--memory', '0', 'x'), '--memory: "0" has no unit (write at least 1MiB)');
  t.equal(refusal('--memory', '5', 'x'), '--memory: "5" has no unit (write 5MiB)');
  t.equal(refusal('--memory', '5K', 'x'), '--memory: "5K" could mean two sizes (write at least 1MiB)');
  t.equal(refusal('--temp-storage', '1', 'x'), '--temp-storage: "1" has no unit (write 1MiB)');
  t.equal(refusal('--temp-storage', '1B', 'x'), '--temp-storage: "1B" is too small (write at least 4KiB)');
  t.equal(refusal('--cpu', '0.5', 'x'), '--cpu: "0.5" is not a percentage (for 0.5 cores write 50%)');
  t.equal(refusal('--cpu', '2', 'x'), wrong('--cpu', parsePercent('2')));
  for (const flag of ['--tasks', '--sockets', '--file-handles'])
    t.equal(refusal(flag, '-3', 'x'), wrong(flag, parseCount('-3')));
  for (const flag of ['--runtime', '--grace']) t.equal(refusal(flag, '5', 'x'), wrong(flag, parseDuration('5')));
  t.equal(
    refusal('--tasks', 'many', '--memory', 'much', 'x'),
    `${wrong('--tasks', parseCount('many'))}; ${wrong('--memory', parseSize('much'))}`,
  );
});
