import t from 'tap';
import { PassThrough } from 'node:stream';
import { StdioChannel } from '../../../../lib/mcp/upstream/stdio-channel.ts';
import type { Received } from '../../../../lib/mcp/upstream/upstream.ts';
import { RPC_CODE } from '../../../../lib/mcp/wire/protocol.ts';
import { manualTime, settled } from '../../../helpers/manual-time.ts';
import { waitFor } from '../../../helpers/wait-for.ts';

async function opened() {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const channel = new StdioChannel({ stdin, stdout });
  const heard: Received[] = [];
  const problems: string[] = [];
  const closed: string[] = [];
  await channel.start({
    onMessage: (message) => void heard.push(message),
    onProblem: (problem) => void problems.push(problem),
    onLeftOut: () => undefined,
    onClose: (reason) => void closed.push(reason),
  });
  const say = async (...chunks: readonly (string | Uint8Array)[]): Promise<void> => {
    for (const chunk of chunks) {
      stdout.write(chunk);
      await settled(3);
    }
  };
  return { stdin, stdout, channel, heard, problems, closed, say };
}

const ping = (id: number): string => `{"jsonrpc":"2.0","id":${id},"method":"ping"}\n`;

t.test('messages, however the stream is cut', async (t) => {
  const { heard, problems, say } = await opened();
  const text = ping(1);
  await say(text.slice(0, 10), text.slice(10, 20), text.slice(20), `${ping(2)}${ping(3)}${ping(4).slice(0, 5)}`);
  t.match(heard, [{ id: 1 }, { id: 2 }, { id: 3 }]);
  await say(ping(4).slice(5));
  t.match(heard.at(-1), { id: 4, method: 'ping' });
  t.same(problems, []);
});

t.test('half a line is no message, also at the end of the output', async (t) => {
  const { heard, problems, say, stdout, closed } = await opened();
  await say('{"jsonrpc":"2.0","id":1,"method":"ping"}');
  t.same(heard, []);
  stdout.end();
  await settled();
  t.same(heard, []);
  t.same(problems, []);
  t.equal(closed.length, 1);
});

t.test('a line that is no message is passed over, the next one is heard', async (t) => {
  const { heard, say, closed } = await opened();
  await say(
    'Server listening on stdio\n',
    '{"jsonrpc":\n',
    '\u0000\u0001\n',
    '[]\n',
    '{"jsonrpc":"1.0","id":1}\n',
    '\n',
    Uint8Array.of(0xff, 0xfe, 0x0a),
    ping(7),
  );
  t.match(heard, [{ kind: 'request', id: 7, method: 'ping' }]);
  t.equal(heard.length, 1);
  t.equal(closed.length, 0);
});

t.test('what looks like a message and is none is told', async (t) => {
  const { heard, problems, say } = await opened();
  await say('{"jsonrpc":"1.0","id":1}\n', ping(1));
  t.equal(problems.length, 1);
  t.equal(heard.length, 1);
});

t.test('an answer that cannot be read ends its request all the same', async (t) => {
  const broken: readonly string[] = [
    '{"jsonrpc":"2.0","id":5,"result":"a text"}',
    '{"jsonrpc":"2.0","id":5,"result":[]}',
    '{"jsonrpc":"2.0","id":5,"result":null}',
    '{"jsonrpc":"2.0","id":5}',
    '{"jsonrpc":"2.0","id":5,"error":"a text"}',
    '{"jsonrpc":"2.0","id":5,"error":{"message":"without a code"}}',
    '{"id":5,"result":{}}',
  ];
  for (const line of broken) {
    const { heard, problems, say } = await opened();
    await say(`${line}\n`);
    const error = { code: RPC_CODE.internalError, message: /^the server's answer cannot be read: / };
    t.match(heard, [{ kind: 'answer', id: 5, answer: { kind: 'error', error } }], line);
    t.equal(problems.length, 1, 'and it is told');
  }
  const nobodys = [
    '{"jsonrpc":"2.0","id":5,"method":7}',
    '{"jsonrpc":"2.0","id":5,"method":"ping","params":[],"result":1}',
    '{"jsonrpc":"2.0","id":"5","result":1}',
    '{"jsonrpc":"2.0","result":1}',
    '{"type":"log","id":5}',
  ];
  for (const line of nobodys) {
    const { heard, problems, say } = await opened();
    await say(`${line}\n`);
    t.same(heard, [], line);
    t.equal(problems.length, 1);
  }
});

t.test('a line that is too long is dropped and told; what follows is heard', async (t) => {
  const { heard, problems, say, stdout, closed } = await opened();
  const chunk = Buffer.alloc(17 * 1024 * 1024, 'x');
  for (let count = 0; count < 4; count++) await say(chunk);
  t.same(problems, ['a line of more than 67108864 bytes was dropped']);
  await say(chunk, `\n${ping(1)}`);
  t.match(heard, [{ id: 1 }]);
  t.equal(problems.length, 1, 'told once');
  t.equal(closed.length, 0);
  t.equal(stdout.readableLength, 0);
});

t.test('who waits for an answer that is too long is told, where it says whose it was', async (t) => {
  const cases: readonly (readonly [head: string, tail: string, id: number | null])[] = [
    ['{"jsonrpc":"2.0","id":12,"result":{"text":"', '"}}', 12],
    ['{"jsonrpc": "2.0", "id": 13, "error": {"code": 1, "message": "', '"}}', 13],
    ['{"result":{"text":"', '"},"jsonrpc":"2.0","id":14}', 14],
    ['{"method":"sampling/createMessage","params":{"text":"', '"},"jsonrpc":"2.0","id":15}', null],
    ['{"jsonrpc":"2.0","id":16,"method":"ping","params":{"text":"', '"}}', null],
    ['{"result":{"text":"', '","jsonrpc":"2.0","id":17}}', null],
    ['not JSON', '"jsonrpc":"2.0","id":18}', null],
  ];
  const { heard, say, problems } = await opened();
  const chunk = Buffer.alloc(33 * 1024 * 1024, 'x');
  for (const [head, tail, id] of cases) {
    heard.length = 0;
    // In pieces: both ends may be cut.
    await say(head.slice(0, 5), head.slice(5), chunk, chunk, tail.slice(0, 3), `${tail.slice(3)}\n${ping(1)}`);
    t.match(heard.at(-1), { kind: 'request', id: 1 });
    if (id === null) t.equal(heard.length, 1, `${head}…${tail}`);
    else t.match(heard[0], { kind: 'answer', id, answer: { kind: 'error', error: { message: /67108864 bytes/ } } });
  }
  t.equal(problems.length, cases.length);
});

t.test('a long message in small pieces', async (t) => {
  const { heard, problems, stdout } = await opened();
  const text = 'y'.repeat(32 * 1024 * 1024);
  const line = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"text":"${text}"}}\n`);
  for (let at = 0; at < line.length; at += 65_536) stdout.write(line.subarray(at, at + 65_536));
  await waitFor('the message', () => heard.length === 1, { timeoutMs: 60_000 });
  t.equal((heard[0] as unknown as { params: { text: string } }).params.text.length, text.length);
  t.same(problems, []);
});

t.test('the end of the output ends the conversation once', async (t) => {
  const { channel, stdout, closed } = await opened();
  stdout.end();
  stdout.destroy();
  await settled();
  await channel.close();
  t.same(closed, ['it closed its output']);
  t.throws(() => channel.send({ jsonrpc: '2.0', method: 'ping', id: 1 }), { message: 'the conversation is over' });
});

t.test('sends a line each, in order, those of one turn in one piece', async (t) => {
  const { channel, stdin } = await opened();
  for (const id of [1, 2]) channel.send({ jsonrpc: '2.0', method: 'ping', id });
  t.ok(channel.pendingBytes > 0, 'what waits is counted');
  await settled();
  t.equal(String(stdin.read()), '{"jsonrpc":"2.0","method":"ping","id":1}\n{"jsonrpc":"2.0","method":"ping","id":2}\n');
});

t.test('an input that is gone refuses, and is told', async (t) => {
  const { channel, stdin, problems } = await opened();
  stdin.destroy(new Error('EPIPE'));
  t.throws(() => channel.send({ jsonrpc: '2.0', method: 'ping', id: 1 }));
  await settled();
  t.match(problems, [/EPIPE/]);
});

t.test('without its input the conversation is over, but what was printed by then is heard', async (t) => {
  const time = manualTime(t);
  const { stdin, heard, closed, say } = await opened();
  stdin.destroy(new Error('EPIPE'));
  await time.pass(900);
  await say(ping(1));
  t.match(heard, [{ id: 1 }]);
  t.same(closed, []);
  await time.pass(200);
  t.match(closed, [/^it does not take its input: EPIPE/]);
  t.equal(time.pending, 0);
});

t.test('an output that cannot be read is the end', async (t) => {
  const { stdout, closed } = await opened();
  stdout.destroy(new Error('EIO'));
  await settled();
  t.match(closed, [/its output cannot be read: EIO/]);
  t.equal(closed.length, 1);
});

t.test('what the server has not read yet is known', async (t) => {
  const { channel, stdin } = await opened();
  for (let id = 0; id < 100; id++) channel.send({ jsonrpc: '2.0', method: 'x'.repeat(10_000), id });
  t.ok(channel.pendingBytes > 900_000, `${channel.pendingBytes}`);
  stdin.resume();
  await waitFor('the server to read', () => channel.pendingBytes === 0);
});

t.test('closing leaves the process and its streams alone', async (t) => {
  const { channel, stdin, stdout, heard, say, closed } = await opened();
  await channel.close();
  t.equal(closed.length, 1);
  t.notOk(stdin.writableEnded);
  await say(ping(1));
  t.same(heard, []);
  t.equal(stdout.readableLength, 0);
});
