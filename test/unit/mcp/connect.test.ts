import t from 'tap';
import { spawn } from 'node:child_process';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { createConnector } from '../../../lib/mcp/connect.ts';
import type { ServedConnection } from '../../../lib/mcp/pool/connector.ts';
import type { ManagedProcess } from '../../../lib/process/managed-launch.ts';
import type { Era } from '../../../lib/mcp/wire/protocol.ts';
import { fixtureCommand, fixtureEnvironment, newMarker, type Ending } from '../../helpers/fixture.ts';
import { FakeChannel, INITIALIZED } from '../../helpers/fake-channel.ts';
import { fakeDefinition } from '../../helpers/fake-views.ts';
import { isGovernorError } from '../../helpers/governor-error.ts';
import { killSurvivors } from '../../helpers/survivors.ts';
import { patience } from '../../helpers/wait-for.ts';

const marker = newMarker();
t.teardown(() => killSurvivors(marker));

interface Met {
  readonly complaints: string[];
  readonly met: Promise<ServedConnection>;
  readonly ended: Promise<Ending>;
  /** Its input and output are still held. */
  end(): void;
}

const connect = createConnector({
  version: '1.2.3',
  monotonicMs: () => performance.now(),
  remote: () => Promise.reject(new Error('nothing is elsewhere here')),
});

/** Of a managed process, what a conversation needs. */
function processOf({
  pid,
  stdin,
  stdout,
}: {
  pid?: number | undefined;
  stdin: Writable;
  stdout: Readable;
}): ManagedProcess {
  return {
    pid: pid ?? 0,
    stdin,
    stdout,
    stderr: new PassThrough(),
    exited: new Promise(() => undefined),
    openGate: () => undefined,
    closeGate: () => undefined,
  };
}

/** Meets the fixture mcp-echo with these faults. */
function meet(args: readonly string[], timeoutMs = 20_000): Met {
  return meetCommand(fixtureCommand('mcp-echo', args), timeoutMs);
}

function meetCommand(command: readonly string[], timeoutMs: number, era: Era | null = null): Met {
  // Not by the helper for fixtures, which listens to stdout itself.
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    env: { ...process.env, ...fixtureEnvironment(marker) },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = new Promise<Ending>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const complaints: string[] = [];
  const met = connect({
    process: processOf(child),
    options: {
      timeoutMs: patience(timeoutMs),
      onProtocolError: (message) => void complaints.push(message),
      definition: fakeDefinition('echo'),
    },
    identity: { info: { name: 'tester', version: '1' }, capabilities: {} },
    era,
    takesTurns: false,
  });
  return { complaints, met, ended, end: () => void child.stdin.end() };
}

t.test('a server tells its name, its protocol and its tools', async (t) => {
  const { met, complaints, ended, end } = meet([]);
  const { server, close } = await met;
  t.same(server.tools, ['echo', 'sleep', 'allocate', 'exit']);
  t.match(server, { name: 'mcp-echo', version: '1.0.0', protocol: /^\d{4}-\d\d-\d\d$/ });
  t.same(complaints, []);
  await close();
  await close();
  end();
  t.same(
    await ended,
    { code: 0, signal: null },
    'closing the session did not end the process: the end of its input did',
  );
});

t.test('lines that are no messages do not stand in the way', async (t) => {
  const { met } = meet(['--garbage', '--initialize-ms=200']);
  t.equal((await met).server.name, 'mcp-echo');
});

t.test(
  'what a server offers in vain is told, whatever else there was to complain of, and not without end',
  async (t) => {
    const channel = new FakeChannel({ initialize: () => INITIALIZED, 'tools/list': () => ({ tools: [] }) });
    const complaints: string[] = [];
    const meetThere = createConnector({ version: '1', monotonicMs: () => 0, remote: () => Promise.resolve(channel) });
    const { close } = await meetThere({
      process: null,
      options: {
        timeoutMs: patience(20_000),
        onProtocolError: (message) => void complaints.push(message),
        definition: fakeDefinition('far', { remote: { url: 'https://far.test/mcp', headers: {} } }),
      },
      identity: { info: { name: 'tester', version: '1' }, capabilities: {} },
      era: 'legacy',
      takesTurns: false,
    });
    for (let count = 0; count < 20; count++) channel.complain('it prints');
    for (let count = 0; count < 200; count++) channel.leaveOut(`the tool ${count}`);
    t.same(complaints, [
      ...Array.from({ length: 5 }, () => 'it prints'),
      ...Array.from({ length: 100 }, (_, count) => `the tool ${count}`),
    ]);
    await close();
  },
);

t.test('a server that takes its time', async (t) => {
  const { met } = meet(['--initialize-ms=300', '--notify-ms=20']);
  t.equal((await met).server.name, 'mcp-echo');
});

t.test('what does not answer, or not as it should, is refused with the reason', async (t) => {
  const cases: readonly (readonly [name: string, command: readonly string[], message: RegExp])[] = [
    ['silent after initialize', fixtureCommand('mcp-echo', ['--never-initialize']), /handshake failed: .*timed out/i],
    ['half a line', fixtureCommand('mcp-echo', ['--half-line']), /handshake failed: .*timed out/i],
    ['reads nothing, says nothing', ['sleep', '60'], /handshake failed: .*timed out/i],
  ];
  await Promise.all(
    cases.map(([name, command, message]) =>
      t.rejects(meetCommand(command, 500).met, { ...isGovernorError('launch_failed'), message }, name),
    ),
  );
});

t.test('an output that ends at once, or in the middle, is not waited for', async (t) => {
  const cases: readonly (readonly [name: string, command: readonly string[]])[] = [
    ['ends at once', ['true']],
    ['ends after reading', ['sh', '-c', 'read -r line; echo "oops" >&2; exit 3']],
    ['closes its output after initialize', fixtureCommand('mcp-echo', ['--close-stdout', '--ignore-eof'])],
    ['prints something else', ['sh', '-c', 'echo hello; echo world']],
  ];
  const refused = { ...isGovernorError('launch_failed'), message: /^the MCP handshake failed: / };
  // A timeout far beyond the test's own: it must not be what ends this.
  await Promise.all(cases.map(([name, command]) => t.rejects(meetCommand(command, 600_000).met, refused, name)));
});

t.test('answers of another kind', async (t) => {
  const answering = (result: unknown, list: unknown = null) => {
    const script = `
      const lines = require('node:readline').createInterface({ input: process.stdin });
      const say = (id, answer) => console.log(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
      lines.on('line', (line) => {
        const { id, method, params } = JSON.parse(line);
        if (method === 'initialize') say(id, JSON.parse(${JSON.stringify(JSON.stringify(result))}.replace('ASKED', params.protocolVersion)));
        else if (method === 'tools/list') say(id, ${JSON.stringify(list)});
        else if (id !== undefined) say(id, { error: { code: -32601, message: 'no such method' } });
      });`;
    return [process.execPath, '-e', script];
  };
  const serverInfo = { name: 'odd', version: '0' };
  const ok = { result: { protocolVersion: 'ASKED', capabilities: { tools: {} }, serverInfo } };

  t.match(
    (await meetCommand(answering({ result: { ...ok.result, capabilities: {} } }), 20_000).met).server,
    { name: 'odd', tools: [] },
    'a server without tools is ready too',
  );
  const refusals: readonly (readonly [name: string, command: readonly string[], message: RegExp])[] = [
    ['an error', answering({ error: { code: -32_000, message: 'no licence' } }), /no licence/],
    ['a protocol of its own', answering({ result: { ...ok.result, protocolVersion: '1999-01-01' } }), /1999-01-01/],
    [
      'no tools after all',
      answering(ok, { error: { code: -32_603, message: 'database is locked by token=hunter2hunter2' } }),
      /database is locked by token=•••$/,
    ],
    ['tools without form', answering(ok, { result: { tools: 'none' } }), /handshake failed: /],
  ];
  await Promise.all(
    refusals.map(([name, command, message]) =>
      t.rejects(meetCommand(command, 20_000).met, { ...isGovernorError('launch_failed'), message }, name),
    ),
  );
});

t.test('a tool that logs to its output complains a few times, not for ever', async (t) => {
  const noise = ['sh', '-c', 'i=0; while [ $i -lt 200 ]; do echo \'{"jsonrpc":"1.0","id":1}\'; i=$((i+1)); done'];
  const { met, complaints } = meetCommand(noise, 600_000);
  await t.rejects(met, isGovernorError('launch_failed'));
  t.ok(complaints.length >= 1 && complaints.length <= 5, `${complaints.length}`);
});
