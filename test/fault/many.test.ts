/** Many of everything, one after the other: what is given back must be back. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { LAUNCHER, runCommand, type RunningDaemon, startDaemon } from '../helpers/daemon.ts';
import { pause, waitFor } from '../helpers/wait-for.ts';

const MIB = 2 ** 20;
/** Looking is itself not calm: a scrape allocates. */
const UNHURRIED = { timeoutMs: 60_000, everyMs: 2000 };
/** What the daemon reads of its own group is open from the first look on at which a tool had run. */
const FILES_OF_GROUP = 7;

t.test('12,000 times registered and unregistered', async (t) => {
  const daemon = await startDaemon(t);
  const { call, end } = keptConnection(daemon);
  t.teardown(end);
  await round(call, 2000, 'warm');
  const settledBytes = await settledHeapBytes(call);
  const before = await resources(daemon);
  for (let repeat = 0; repeat < 6; repeat += 1) await round(call, 2000, `round ${repeat}`);
  const unsettledBytes = await heapBytes(call);
  // Garbage waits for its collection, which comes with the first calm seconds. 350 bytes kept of each would be seen.
  await waitFor('the garbage to be collected', async () => (await heapBytes(call)) < settledBytes + 4 * MIB, UNHURRIED);
  const after = await resources(daemon);
  t.comment(
    `${[settledBytes, unsettledBytes, await heapBytes(call)].map(inMib).join(' MiB of heap in use, then ')} MiB`,
  );
  t.ok(
    after.rssBytes < 260 * MIB,
    `${Math.round(after.rssBytes / MIB)} MiB, ${Math.round(before.rssBytes / MIB)} MiB before`,
  );
  t.ok(after.fds <= before.fds + 2, `${after.fds} descriptors, ${before.fds} before`);
});

t.test('10,000 tools at once', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { audit: { max_file: '1MiB', keep: 2 } } } });
  const { call, end } = keptConnection(daemon);
  t.teardown(end);
  await round(call, 100, 'warm');
  const before = await resources(daemon);
  const names = Array.from({ length: 10_000 }, (_, index) => `tool ${index}`);
  const refused = await inTurns(
    names,
    async (name) => (await call('POST', '/v1/tools', { name, command: 'true' })).status !== 201,
  );
  t.equal(refused, 0, 'every one is taken');
  const listed = JSON.parse((await call('GET', '/v1/tools')).text) as { tools: { name: string }[] };
  t.equal(listed.tools.length, 10_000);
  t.match((await call('POST', '/v1/tools', { name: 'tool 77', command: 'true' })).text, /tool_exists/);
  t.equal((await call('GET', '/v1/tools/tool%209999')).status, 200);
  t.equal((await call('GET', '/metrics')).text.match(/^governor_tool_runs\{/gm)?.length, 10_000, 'a scrape tells all');
  const one = await daemon.cli(['usage', 'tool 5']);
  t.equal(one.code, 0, one.stderr);
  const all = await daemon.cli(['ls']);
  t.equal(all.stdout.split('\n').filter((line) => line.startsWith('tool ')).length, 10_000, 'and so does governor ls');
  // Three answers of many megabytes each are garbage now, of which more or less was collected already.
  const full = await resources(daemon);
  t.ok(full.rssBytes < 1024 * MIB, `${inMib(full.rssBytes)} MiB with all of them, their list and their metrics`);
  const isCollected = async (): Promise<boolean> => (await resources(daemon)).rssBytes < 500 * MIB;
  await waitFor('the garbage to be collected, and its pages given back', isCollected, UNHURRIED);
  t.equal(
    await inTurns(
      names,
      async (name) => (await call('DELETE', `/v1/tools/${encodeURIComponent(name)}`)).status !== 204,
    ),
    0,
  );
  t.same((JSON.parse((await call('GET', '/v1/tools')).text) as { tools: unknown[] }).tools, []);
  t.notMatch((await call('GET', '/metrics')).text, /tool="tool \d/, 'no series is left');
  const after = await resources(daemon);
  t.ok(after.fds <= before.fds + 2, `${after.fds} descriptors, ${before.fds} before`);
  t.equal((await daemon.call('GET', '/v1/audit/verify')).json.ok, true);
});

t.test('200 cycles with a process each leave nothing open', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  const { call, end } = keptConnection(daemon);
  t.teardown(end);
  const cycle = async (name: string): Promise<void> => {
    const path = `/v1/tools/${name}`;
    const body = { name, command: 'cat', readiness: 'none', grace: '1s' };
    t.equal((await call('POST', '/v1/tools', body)).status, 201);
    const activated = await call('POST', `${path}/activate`, {});
    if (activated.status !== 200) t.fail(activated.text);
    if (Number(name.slice(1)) % 20 === 0) t.equal((await call('GET', `${path}/files`)).status, 200);
    const deleted = await call('DELETE', path);
    if (deleted.status !== 204) t.fail(deleted.text);
  };
  for (let index = 0; index < 10; index += 1) await cycle(`w${index}`);
  await steady(daemon);
  const before = await resources(daemon);
  for (let index = 0; index < 200; index += 1) await cycle(`c${index}`);
  const after = await resources(daemon);
  t.ok(
    after.fds <= before.fds + FILES_OF_GROUP + 2,
    `${after.fds} descriptors after 200 cycles, ${before.fds} before: ${descriptors(daemon).join(' ')}`,
  );
  t.ok(
    after.rssBytes < before.rssBytes + 40 * MIB,
    `${Math.round(after.rssBytes / MIB)} MiB, ${Math.round(before.rssBytes / MIB)} MiB before`,
  );
  t.same(readdirSync(join(daemon.stateDir, 'ledger')), [], 'no ledger entry is left');
  t.same(children(daemon.pid), [], 'no child is left, nor a zombie');
});

t.test('40 direct runs, eight at a time, leave nothing open', async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' } } });
  const batch = async (): Promise<void> => {
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () =>
        runCommand(LAUNCHER, ['run', '--name', 'same', '--', 'sh', '-c', 'exit 3'], { env: daemon.env }),
      ),
    );
    t.same(
      outcomes.map(({ code }) => code),
      Array.from({ length: 8 }, () => 3),
    );
    await waitFor('all to be over', async () => (await daemon.call('GET', '/v1/tools')).json.tools.length === 0);
  };
  await batch();
  await steady(daemon);
  const before = await resources(daemon);
  for (let index = 0; index < 5; index += 1) await batch();
  const after = await resources(daemon);
  t.ok(after.fds <= before.fds + 2, `${after.fds} descriptors, ${before.fds} before: ${descriptors(daemon).join(' ')}`);
});

type Call = (
  method: string,
  path: string,
  body?: unknown,
) => Promise<{ readonly status: number; readonly text: string }>;

async function round(call: Call, count: number, prefix: string): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `${prefix} ${index}`);
  await inTurns(names, async (name) => (await call('POST', '/v1/tools', { name, command: 'true' })).status !== 201);
  await inTurns(names, async (name) => (await call('DELETE', `/v1/tools/${encodeURIComponent(name)}`)).status !== 204);
}

/** A few at a time, over kept connections. @returns how many answered true */
async function inTurns(names: readonly string[], work: (name: string) => Promise<boolean>): Promise<number> {
  let count = 0;
  let next = 0;
  const turn = async (): Promise<void> => {
    for (let name = names[next++]; name !== undefined; name = names[next++]) if (await work(name)) count += 1;
  };
  await Promise.all(Array.from({ length: 8 }, turn));
  return count;
}

function keptConnection(daemon: RunningDaemon): { readonly call: Call; readonly end: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const socketPath = join(daemon.stateDir, 'governor.sock');
  const call: Call = (method, path, body) =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const outgoing = request({ socketPath, agent, method, path, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
        response.on('error', reject);
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        // The daemon ends a connection that was idle for seconds; on a busy machine this end hears of it too late.
        const tooLate = outgoing.reusedSocket && ['EPIPE', 'ECONNRESET'].includes(error.code ?? '');
        if (tooLate) resolve(call(method, path, body));
        else reject(error);
      });
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  return { call, end: () => agent.destroy() };
}

/** The lowest look of 20 seconds, in which the daemon becomes calm and collects. */
async function settledHeapBytes(call: Call): Promise<number> {
  let lowest = Infinity;
  for (let look = 0; look < 10; look += 1) {
    await pause(UNHURRIED.everyMs);
    lowest = Math.min(lowest, await heapBytes(call));
  }
  return lowest;
}

async function heapBytes(call: Call): Promise<number> {
  const used = /^nodejs_heap_size_used_bytes (\S+)/m.exec((await call('GET', '/metrics')).text)?.[1];
  if (used === undefined) throw new Error('the metrics do not tell of the heap');
  return Number(used);
}

function inMib(bytes: number): number {
  return Math.round(bytes / MIB);
}

/** What the daemon opens once, some time after the first run, is open: its history, four seconds later, and its own group. */
async function steady(daemon: RunningDaemon): Promise<void> {
  let most = 0;
  for (let unchanged = 0; unchanged < 24; unchanged += 1) {
    await pause(250);
    const { length } = descriptors(daemon);
    if (length > most) unchanged = 0;
    most = Math.max(most, length);
  }
}

/** Once nothing is on its way any more: the lowest of a few looks. */
async function resources(daemon: RunningDaemon): Promise<{ readonly fds: number; readonly rssBytes: number }> {
  let fds = Infinity;
  for (let look = 0; look < 10; look += 1) {
    await daemon.call('GET', '/healthz');
    fds = Math.min(fds, descriptors(daemon).length);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8')) ?? [];
  return { fds, rssBytes: Number(kilobytes) * 1024 };
}

function descriptors(daemon: RunningDaemon): readonly string[] {
  const directory = `/proc/${daemon.pid}/fd`;
  return readdirSync(directory).map((fd) => `${fd}:${linkOf(join(directory, fd))}`);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return 'closed meanwhile';
  }
}

function children(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((word) => word !== '');
}
