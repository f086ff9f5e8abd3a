import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  bootId,
  nameOf,
  printable,
  ProcStat,
  readIdentity,
  readNamedStat,
  sameProcess,
} from '../../../lib/os/procfs/stat.ts';
import { lacksFixture, startFixture } from '../../helpers/fixture.ts';
import { lacks } from '../../helpers/skip.ts';

/** A real line of a kernel 6.18; NAME stands for the name. */
const LINE =
  '4711 (NAME) S 23 4700 4690 34816 4711 4194304 1203 5012 3 1 170 31 12 8 20 -5 11 0 98765 734003200 12034 18446744073709551615 ' +
  '94176345395200 94176345396329 140727463263168 0 0 0 0 4096 134234626 0 0 0 17 1 0 0 0 0 0 94176345407024 94176345407632 ' +
  '94176362385408 140727463270993 140727463271013 140727463271013 140727463272426 0\n';

function parse(text: string | Buffer): ProcStat | null {
  const bytes = Buffer.from(text as string, 'latin1');
  const stat = new ProcStat();
  return stat.parse(bytes, bytes.length) ? stat : null;
}

t.test('every field stands where proc_pid_stat(5) says', async (t) => {
  const stat = parse(LINE);
  t.match(stat, {
    state: 'S',
    ppid: 23,
    group: 4700,
    session: 4690,
    terminal: 34816,
    ownTicks: 201,
    childTicks: 20,
    threads: 11,
    startTicks: 98765,
    rssPages: 12034,
    dead: false,
    leaderless: false,
  });
});

t.test('names that try to be something else', async (t) => {
  const names = [
    'a b',
    ') R 1 1 1',
    '((((',
    '))))))',
    '\n) S 1\n',
    'x) Z 0 (y',
    '',
    '\xc3\xa4\xe2\x82',
    ') S 1 1 1 1 1 1',
    '\x1b[2J',
  ];
  for (const name of names) {
    t.match(parse(LINE.replace('NAME', name)), { state: 'S', ppid: 23, startTicks: 98765 }, JSON.stringify(name));
  }
});

t.test('a name is made printable', async (t) => {
  const named = (name: string): string => {
    const bytes = Buffer.from(LINE.replace('NAME', name), 'utf8');
    return nameOf(bytes, bytes.length);
  };
  t.equal(named('node'), 'node');
  t.equal(named('a) (b'), 'a) (b');
  t.equal(named('grün'), 'grün');
  t.equal(named('a\nb\x1b[31m'), 'a?b?[31m');
  t.equal(printable('\u202Eevil\u2028'), '?evil?');
  t.equal(nameOf(Buffer.from('no brackets'), 11), '?');
});

t.test('what is no stat line is refused', async (t) => {
  for (const text of [
    '',
    ')',
    '1 (x',
    '1 (x)',
    '1 (x) S',
    '1 (x) S 1 2 3',
    LINE.replace('98765', 'soon'),
    'no line at all',
  ]) {
    t.equal(parse(text), null, JSON.stringify(text));
  }
});

t.test('a line cut anywhere is refused or gives the same start', async (t) => {
  for (let length = 0; length < LINE.length; length += 1) {
    const stat = parse(LINE.slice(0, length));
    if (stat !== null) t.equal(stat.startTicks, 98765, `cut at ${length}`);
  }
});

t.test('a zombie is dead, unless threads of it live', async (t) => {
  t.match(parse(LINE.replace(' S ', ' Z ')), { dead: false, leaderless: true });
  const alone = LINE.replace(' S ', ' Z ').replace(' -5 11 0 ', ' -5 1 0 ');
  t.match(parse(alone), { dead: true, leaderless: false });
});

t.test('real processes', { skip: lacks('linux') }, async (t) => {
  t.test('identity lasts as long as the process', async (t) => {
    const child = spawn('sleep', ['60']);
    const identity = readIdentity(child.pid ?? 0);
    t.ok(identity);
    if (identity === null) return;
    t.ok(sameProcess(identity));
    t.notOk(sameProcess({ ...identity, startTicks: identity.startTicks + 1 }), 'another process with its pid');
    child.kill('SIGKILL');
    await once(child, 'exit');
    t.notOk(sameProcess(identity));
    t.equal(readIdentity(identity.pid), null);
  });

  t.test('a zombie has no identity', async (t) => {
    const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.teardown(() => parent.kill('SIGKILL'));
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    t.equal(readIdentity(pid), null);
    t.match(readNamedStat(pid), { stat: { dead: true }, name: 'sleep' });
  });

  t.test(
    'a process whose leader ended before its threads is alive',
    { skip: lacksFixture('zombie-leader') },
    async (t) => {
      const fixture = startFixture(t, 'zombie-leader');
      await fixture.said('ready');
      t.match(readIdentity(fixture.pid), { pid: fixture.pid });
      t.match(readNamedStat(fixture.pid), { stat: { leaderless: true, dead: false } });
    },
  );

  t.test('a process that names itself like a stat line', async (t) => {
    const code = `require('fs').writeFileSync('/proc/self/comm', ') Z 1 1\\n(');process.stdout.write('x');setTimeout(() => {}, 60000)`;
    const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    t.match(readNamedStat(child.pid ?? 0), { stat: { ppid: process.pid, dead: false }, name: ') Z 1 1?(' });
  });

  t.test('no such process', async (t) => {
    for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 40]) t.equal(readIdentity(pid), null, String(pid));
    t.match(bootId(), /^[0-9a-f-]{36}$/);
  });
});
