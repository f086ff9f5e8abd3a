/** Conversations with real processes: unruly servers of the fixtures, and real ones of both eras. */

import t from 'tap';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { openUpstream } from '../../lib/mcp/upstream/multiplexer.ts';
import { StdioChannel } from '../../lib/mcp/upstream/stdio-channel.ts';
import type { Upstream } from '../../lib/mcp/upstream/upstream.ts';
import type { Answer, Fields } from '../../lib/mcp/wire/message.ts';
import { RPC_CODE } from '../../lib/mcp/wire/protocol.ts';
import type { Era } from '../../lib/mcp/wire/protocol.ts';
import type { Session } from '../../lib/mcp/wire/session.ts';
import { fakeClient, fakeExchange } from '../helpers/fake-mcp-session.ts';
import type { FakeClient, FakeExchange } from '../helpers/fake-mcp-session.ts';
import { fixtureCommand, fixtureEnvironment, newMarker } from '../helpers/fixture.ts';
import type { TestScope } from '../helpers/fixture.ts';
import { server, serversMissing } from '../helpers/npm-servers.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { killSurvivors } from '../helpers/survivors.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const ALL = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
const MIB = 2 ** 20;

interface Running {
  readonly upstream: Upstream;
  readonly channel: StdioChannel;
  readonly problems: string[];
  join(context: string, capabilities?: Fields): Joined;
}

interface Joined {
  readonly client: FakeClient;
  readonly session: Session;
  readonly exchange: FakeExchange;
  request(method: string, params?: Fields): Promise<Answer>;
  call(name: string, given?: Fields, meta?: Fields): Promise<Answer>;
}

function start(t: TestScope, command: readonly string[], era: Era | null = null): Running {
  const marker = newMarker();
  t.teardown(() => killSurvivors(marker));
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    env: { ...process.env, ...fixtureEnvironment(marker) },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const problems: string[] = [];
  const channel = new StdioChannel({ stdin: child.stdin, stdout: child.stdout });
  const upstream = openUpstream(channel, {
    era,
    info: { name: 'governor', version: '1' },
    capabilities: ALL,
    timeoutMs: patience(60_000),
    takesTurns: false,
    monotonicMs: () => performance.now(),
    onProblem: (problem) => void problems.push(problem),
    onLeftOut: (what) => void problems.push(what),
  });
  t.teardown(() => upstream.close('the test is over'));
  return {
    upstream,
    channel,
    problems,
    join(context, capabilities = ALL) {
      const client: FakeClient = Object.assign(fakeClient(era ?? 'legacy', capabilities), { context });
      const session = upstream.attach(client);
      const exchange = fakeExchange();
      const request = (method: string, params: Fields = {}): Promise<Answer> =>
        session.request({ method, params }, exchange);
      return {
        client,
        session,
        exchange,
        request,
        call: (name, given = {}, meta) =>
          request('tools/call', { name, arguments: given, ...(meta === undefined ? {} : { _meta: meta }) }),
      };
    },
  };
}

function unruly(t: TestScope): Running {
  return start(t, fixtureCommand('mcp-unruly'));
}

const said = (text: string): Fields => ({ kind: 'result', result: { content: [{ type: 'text', text }] } });

/** How much more this process holds at most while the work goes on. */
async function growthMib(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
  await work();
  clearInterval(timer);
  return (Math.max(most, process.memoryUsage().rss) - before) / MIB;
}

t.test('half a line, log lines, strays: the conversation goes on', async (t) => {
  const { join: enter, problems, upstream } = unruly(t);
  t.match(await upstream.ready(), { era: 'legacy' });
  const [one, two] = [enter('one'), enter('two')];
  t.match(await one.call('log'), said('log'));
  const half = one.call('half-line');
  t.match(await two.call('echo'), said('echo'));
  t.match(await half, said('half-line'), 'the other half came with the next answer');
  t.match(await one.call('stray'), said('stray'));
  t.match(await two.call('echo'), said('echo'));
  t.same([one.client.heard, two.client.heard, one.exchange.heard, two.exchange.heard], [[], [], [], []]);
  t.ok(problems.length > 0);
  t.match(upstream.holds, { requests: 0, progressTokens: 0 });
});

t.test('a line of 100 MB: dropped and told, with bounded memory; the next answer is heard', async (t) => {
  const { join: enter, problems, upstream } = unruly(t);
  await upstream.ready();
  const one = enter('one');
  const grownMib = await growthMib(async () => t.match(await one.call('long-line'), said('long-line')));
  t.match(problems, [/a line of more than 67108864 bytes was dropped/]);
  t.ok(grownMib < 200, `it took ${Math.round(grownMib)} MiB more`);
  t.match(await one.call('long-answer'), { kind: 'error', error: { message: /more than 67108864 bytes/ } });
  t.match(await one.call('echo'), said('echo'));
});

t.test('a storm of notifications: each to whom it belongs, and nothing is kept', async (t) => {
  const { join: enter, upstream } = unruly(t);
  await upstream.ready();
  const [one, two] = [enter('one'), enter('two')];
  await two.request('resources/subscribe', { uri: 'demo://1' });
  let updates = 0;
  const others: string[] = [];
  for (const { client } of [one, two])
    client.notify = ({ method }) => {
      if (client === two.client && method === 'notifications/resources/updated') updates++;
      else if (method !== 'notifications/tools/list_changed') others.push(method);
    };
  one.exchange.notify = () => undefined;
  const count = 20_000;
  const grownMib = await growthMib(async () => t.match(await one.call('storm', { count }), said('storm')));
  t.equal(updates, count);
  t.same(others, []);
  t.ok(grownMib < 150, `it took ${Math.round(grownMib)} MiB more`);
  t.match(await two.call('echo'), said('echo'), 'the neighbour goes on');
});

t.test('a storm of its own requests is bounded', async (t) => {
  const { join: enter, upstream } = unruly(t);
  await upstream.ready();
  const one = enter('one');
  const asked: string[] = [];
  one.exchange.ask = ({ method }) => {
    asked.push(method);
    return new Promise(() => undefined);
  };
  t.match(await one.call('ask-storm', { count: 20_000 }), said('ask-storm'));
  t.equal(asked.length, 1_000);
  t.match(await one.call('echo'), said('echo'));
});

t.test('a server that never reads its input: refused, with bounded memory', async (t) => {
  const { join: enter, upstream, channel } = unruly(t);
  await upstream.ready();
  const one = enter('one');
  t.match(await one.call('deaf'), said('deaf'));
  const text = 'y'.repeat(MIB);
  const answers: Answer[] = [];
  const grownMib = await growthMib(async () => {
    for (let count = 0; count < 200; count++) void one.call('echo', { text }).then((answer) => answers.push(answer));
    await waitFor('the refusals', () => answers.length > 150);
  });
  t.ok(channel.pendingBytes < 20 * MIB, `${channel.pendingBytes} bytes wait`);
  t.ok(grownMib < 150, `it took ${Math.round(grownMib)} MiB more`);
  t.match(answers[0], { kind: 'error', error: { code: RPC_CODE.refused, message: /does not read/ } });
  t.equal(await upstream.check(200), false);
});

t.test('a server that closes its output answers what was open', async (t) => {
  const { join: enter, upstream } = unruly(t);
  await upstream.ready();
  const one = enter('one');
  t.match(await one.call('close'), { kind: 'error', error: { code: RPC_CODE.stopped, message: /closed its output/ } });
  t.match(await one.call('echo'), { kind: 'error', error: { code: RPC_CODE.stopped } });
});

t.test(
  'everything: requests, progress, sampling, roots of two clients at once',
  { skip: serversMissing('everything') },
  async (t) => {
    const { join: enter, upstream } = start(t, [process.execPath, server('everything'), 'stdio']);
    t.match(await upstream.ready(), { era: 'legacy', info: { name: /everything/ } });
    const [one, two] = [enter('one'), enter('two')];
    for (const each of [one, two])
      each.client.answer = () => ({ kind: 'result', result: { roots: [{ uri: 'file:///shared' }] } });
    one.exchange.answer = ({ method }) =>
      method === 'roots/list'
        ? { kind: 'result', result: { roots: [{ uri: 'file:///shared' }] } }
        : {
            kind: 'result',
            result: { role: 'assistant', model: 'none', content: { type: 'text', text: 'sampled for one' } },
          };
    const long = { duration: 1, steps: 4 };
    const [a, b] = await Promise.all([
      one.call('trigger-long-running-operation', long, { progressToken: 'same' }),
      two.call('trigger-long-running-operation', long, { progressToken: 'same' }),
    ]);
    for (const answer of [a, b]) t.match(answer, { kind: 'result' });
    for (const { exchange } of [one, two]) {
      const progress = exchange.heard.filter(({ method }) => method === 'notifications/progress');
      t.ok(progress.length >= 3, `${progress.length} reports`);
      t.ok(progress.every(({ params }) => params?.['progressToken'] === 'same'));
    }
    const sampled = await one.call('trigger-sampling-request', { prompt: 'hello', maxTokens: 10 });
    t.match(JSON.stringify(sampled), /sampled for one/);
    t.match(await two.call('echo', { message: 'hörbar' }), {
      kind: 'result',
      result: { content: [{ text: /hörbar/ }] },
    });
    t.equal(await upstream.check(patience(10_000)), true);
  },
);

t.test('a modern server: found out, asked, listened to', async (t) => {
  const fixture = join(projectRoot, 'test/fixtures/conformance/modern.mjs');
  const { join: enter, upstream } = start(t, [process.execPath, fixture]);
  t.match(await upstream.ready(), { era: 'modern', protocolVersion: '2026-07-28' });
  const one = enter('one', { sampling: {}, elicitation: { form: {} }, roots: {} });
  const list = await one.request('tools/list');
  t.equal(list.kind, 'result');
  const asked = await one.call('test_input_required_result_elicitation');
  t.match(asked, { kind: 'result', result: { resultType: 'input_required', inputRequests: { user_name: {} } } });
  t.equal(await upstream.check(patience(10_000)), true);
  const known = start(t, [process.execPath, fixture], 'legacy');
  t.match(await known.upstream.ready(), { era: 'modern' }, 'also where it was believed to be legacy');
});
