import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { unshareOptions, unshareWords } from '../../../lib/os/pidns/init.ts';
import { startProgram, type TestScope } from '../../helpers/fixture.ts';
import { lacks } from '../../helpers/skip.ts';

const PLAIN = { user: false, mountProc: false, forwardSignals: false, defaultSignal: true };
/** The first process's script without a namespace around it: what it does with stdin, signals and exit status is the same. */
const SCRIPT = unshareWords(PLAIN).slice(unshareOptions(PLAIN).length);
const skip = lacks('linux');

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
}

async function run(
  t: TestScope,
  words: readonly string[],
  options: { readonly input?: string; readonly signal?: NodeJS.Signals } = {},
): Promise<Outcome> {
  const tool = startProgram(t, [...SCRIPT, ...words]);
  tool.child.stdin?.end(options.input);
  if (options.signal !== undefined) {
    await tool.said('ready');
    tool.child.kill(options.signal);
  }
  const [code] = (await once(tool.child, 'close')) as [number | null];
  return { code, stdout: tool.lines().join('\n') };
}

t.test('the words in front of a command', async (t) => {
  t.notOk(
    unshareWords(PLAIN).some((word) => word.includes('\n')),
    'a launcher takes one instruction a line',
  );
  t.same(unshareOptions(PLAIN), ['unshare', '--pid', '--fork', '--kill-child', '--']);
  t.same(unshareOptions({ user: true, mountProc: true, forwardSignals: true, defaultSignal: false }), [
    'unshare',
    '--user',
    '--map-current-user',
    '--pid',
    '--fork',
    '--kill-child',
    '--forward-signals',
    '--mount',
    '--mount-proc',
    '--',
  ]);
});

t.test('stdin, arguments and status are the tool’s own', { skip }, async (t) => {
  t.same(await run(t, ['cat'], { input: 'through\n' }), { code: 0, stdout: 'through' });
  t.same(await run(t, ['sh', '-c', 'exit 7']), { code: 7, stdout: '' });
  t.match(await run(t, ['/does/not/exist']), { code: 127 });
  t.match(await run(t, ['/etc/passwd']), { code: 126 });
  t.same(await run(t, ['printf', '%s|\\n', 'a b', '$(id)', "'", '', '*']), {
    code: 0,
    stdout: "a b|\n$(id)|\n'|\n|\n*|",
  });
  t.match(await run(t, ['sh', '-c', 'kill -KILL $$']), { code: 137 });
});

t.test('the tool sees no handle that a plain start would not give it', { skip }, async (t) => {
  const listing = ['-c', 'ls /proc/$$/fd'];
  const plain = spawn('sh', listing, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [expected] = (await once(plain.stdout, 'data')) as [Buffer];
  t.same(await run(t, ['sh', ...listing]), { code: 0, stdout: expected.toString().trimEnd() });
});

t.test('signals are passed on', { skip }, async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
    const name = signal.slice(3);
    const tool = `trap 'echo got ${name}; exit 5' ${name}; echo ready; while :; do sleep 0.05; done`;
    t.same(await run(t, ['sh', '-c', tool], { signal }), { code: 5, stdout: `ready\ngot ${name}` });
  }
  t.match(
    await run(t, ['sh', '-c', 'echo ready; exec sleep 60'], { signal: 'SIGINT' }),
    { code: 130 },
    'not ignored by default',
  );
  t.match(await run(t, ['sh', '-c', 'echo ready; exec sleep 60'], { signal: 'SIGTERM' }), { code: 143 });
});

t.test('a tool that handles a signal and lives on is waited for', { skip }, async (t) => {
  const tool = `trap 'echo handled' TERM; echo ready; n=0; while [ $n -lt 10 ]; do sleep 0.05; n=$((n+1)); done; exit 3`;
  t.same(await run(t, ['sh', '-c', tool], { signal: 'SIGTERM' }), { code: 3, stdout: 'ready\nhandled' });
});

t.test('a command with an equals sign is a command', { skip }, async (t) => {
  t.match(await run(t, ['./a=b']), { code: 127 });
});
