import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { NO_LIMITS } from '../../lib/core/limits.ts';
import { PidnsBackend, probePidns } from '../../lib/os/pidns/backend.ts';
import { unshareWords } from '../../lib/os/pidns/init.ts';
import { lacksFixture } from '../helpers/fixture.ts';
import { createRun, emptied, startContained, valueOf } from '../helpers/scanned-backends.ts';
import { lacks } from '../helpers/skip.ts';
import { survivors, survivorsAfter } from '../helpers/survivors.ts';
import { waitFor } from '../helpers/wait-for.ts';

const probe = process.platform === 'linux' ? await probePidns() : null;
const skip = lacks('linux') || (probe === null || probe.usable ? false : probe.reason);

t.test(
  'where it cannot be used it says why',
  { skip: skip === false ? 'PID namespaces work here' : false },
  async (t) => {
    await t.rejects(PidnsBackend.open(), { code: 'unsupported' });
  },
);

t.test('in a namespace', { skip }, async (t) => {
  const backend = await PidnsBackend.open();
  t.teardown(() => backend.close());
  t.equal(backend.exact, true);

  t.test('the tool is measured, and its namespace known', async (t) => {
    const run = await createRun(t, backend);
    t.equal(run.membership.exact, false, 'not before there is one');
    const load = await startContained(t, run, 'open-files', { args: ['--count=30'] });
    await load.said('ready');
    await waitFor('the namespace', () => run.membership.exact);
    const members = run.membership.members();
    t.equal(members.length, 3, 'unshare, the first process, the tool');
    const tool = members.find((member) => readlinkSync(`/proc/${member.pid}/exe`) === process.execPath);
    t.ok(tool);
    t.equal(readlinkSync(`/proc/${tool?.pid}/ns/pid`), `pid:[${run.record.pidNamespace}]`);
    t.not(readlinkSync('/proc/self/ns/pid'), `pid:[${run.record.pidNamespace}]`);
    const sample = run.usage.sample(performance.now(), true);
    t.ok(valueOf(sample.fileHandles) >= 30);
    t.match(sample, { populated: true });
    await run.killer.kill();
    await emptied(run);
    t.same(await survivorsAfter(load.marker, 2000), []);
  });

  t.test('the tool finds itself in its own /proc', async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, '', {
      command: [
        'sh',
        '-c',
        'echo self $(readlink /proc/self | wc -l); echo me $$; echo count $(ls /proc | grep -c "^[0-9]"); sleep 60',
      ],
    });
    t.match(await load.said('self'), { text: '1' });
    t.match(await load.said('me'), { text: /^\d$/ });
    t.ok(Number((await load.said('count'))['text']) < 10, 'and nobody else');
  });

  for (const [name, args] of [
    ['escape-setsid-double-fork', []],
    ['env-i-daemon', [process.execPath]],
    ['hop-fork', ['--every-us=2000']],
    ['hop-fork', ['--every-us=2000', '--setsid']],
    ['fork-bomb', ['--max=200']],
    ['term-handler-forks', []],
    ['ignore-term', []],
    ['stopped', []],
  ] as const) {
    const reason = lacksFixture(name) || (name.startsWith('e') && lacks('setsid'));
    t.test(`nobody leaves: ${name} ${args.join(' ')}`, { skip: reason }, async (t) => {
      const run = await createRun(t, backend);
      const load = await startContained(t, run, name, { args });
      await load.said('ready');
      if (name === 'term-handler-forks') {
        t.ok((await run.killer.signal('SIGTERM')) >= 1);
        await load.said('forked');
      }
      await run.killer.kill();
      t.same(await survivorsAfter(load.marker, 3000), []);
      await emptied(run);
      await t.resolves(run.remove(1000));
    });
  }

  t.test('SIGKILL of the process outside ends all', async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, 'escape-setsid-double-fork');
    await load.said('ready');
    process.kill(load.pid, 'SIGKILL');
    t.same(await survivorsAfter(load.marker, 3000), []);
  });

  t.test('killed at once after it was attached', async (t) => {
    for (let delayMs = 0; delayMs < 12; delayMs += 2) {
      const run = await createRun(t, backend);
      const load = await startContained(t, run, 'escape-setsid-double-fork');
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await run.killer.kill();
      t.same(await survivorsAfter(load.marker, 3000), [], `after ${delayMs} ms`);
    }
  });

  t.test('when the tool ends all ends, with its status', async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, '', { command: ['sh', '-c', 'setsid sleep 60 & echo ready; exit 9'] });
    const [code] = (await once(load.child, 'exit')) as [number];
    t.equal(code, 9);
    t.same(await survivorsAfter(load.marker, 3000), []);
    t.match(run.usage.sample(performance.now(), true), { populated: false });
  });

  t.test('a namespace that the tool makes inside goes with it', async (t) => {
    const run = await createRun(t, backend);
    const inner =
      'unshare --user --map-current-user --pid --fork env -i PATH="$PATH" sh -c "echo inner; exec sleep 60" || echo refused';
    const load = await startContained(t, run, '', { command: ['sh', '-c', `(${inner}) & sleep 60`] });
    const said = await Promise.race([load.said('inner'), load.said('refused')]);
    t.ok(said);
    await run.killer.kill();
    t.same(await survivorsAfter(load.marker, 3000), []);
    await emptied(run);
  });

  t.test('a run of an earlier daemon', async (t) => {
    const run = await createRun(t, backend);
    const load = await startContained(t, run, 'env-i-daemon', { args: [process.execPath] });
    await load.said('ready');
    await waitFor('the namespace', () => run.membership.exact);
    const record = JSON.parse(JSON.stringify(run.record)) as typeof run.record;
    const next = await PidnsBackend.open();
    t.teardown(() => next.close());
    const adopted = await next.adopt(record, NO_LIMITS, run.tempDir);
    t.equal(adopted?.membership.exact, true);
    t.ok((adopted?.membership.members().length ?? 0) >= 4, 'the daemon without environment too');
    await adopted?.killer.kill();
    t.same(await survivorsAfter(load.marker, 3000), []);
    t.equal(await next.adopt(record, NO_LIMITS, run.tempDir), null);
  });
});

t.test('as an ordinary user', { skip: skip || lacks('root', 'user-namespaces') }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'governor-test-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  chmodSync(dir, 0o777);
  const marker = `governor-test-user-${process.pid}-${Date.now()}`;
  const words = unshareWords({ user: true, mountProc: true, forwardSignals: false, defaultSignal: true });
  const tool = 'id -u; setsid env -i sleep 60 & setsid env -i sh -c "sleep 61 & sleep 62" & echo ready; sleep 60';
  const child = spawn(words[0] as string, [...words.slice(1), 'sh', '-c', tool, marker], {
    uid: 65534,
    gid: 65534,
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (complaint += String(chunk)));
  await waitFor('the tool, or a refusal', () => output.includes('ready') || child.exitCode !== null);
  if (child.exitCode !== null) return t.comment(`skipped: ${complaint.trim()}`);
  t.match(output, /^65534\n/, 'the same user inside');
  t.ok(survivors(marker).length >= 2);
  const inside = spawnSync('pgrep', ['-u', '65534', '-x', 'sleep'], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
    .filter((line) => line !== '');
  t.ok(inside.length >= 3);
  child.kill('SIGKILL');
  t.same(await survivorsAfter(marker, 3000), []);
  await waitFor('every sleep to end', () => spawnSync('pgrep', ['-u', '65534', '-x', 'sleep']).status === 1);
});
