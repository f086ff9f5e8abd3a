import t from 'tap';
import { PassThrough } from 'node:stream';
import type { JSONRPCMessage } from '@modelcontextprotocol/client';
import { StdioTransport } from '../../../lib/mcp/stdio-transport.ts';
import { settled } from '../../helpers/manual-time.ts';
import { waitFor } from '../../helpers/wait-for.ts';

async function opened() {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const transport = new StdioTransport({ stdin, stdout });
  const heard: JSONRPCMessage[] = [];
  const errors: string[] = [];
  let closed = 0;
  transport.onmessage = (message) => void heard.push(message);
  transport.onerror = (error) => void errors.push(error.message);
  transport.onclose = () => void (closed += 1);
  await transport.start();
  const say = async (...chunks: readonly (string | Uint8Array)[]): Promise<void> => {
    for (const chunk of chunks) {
      stdout.write(chunk);
      await settled(3);
    }
  };
  return { stdin, stdout, transport, heard, errors, closed: () => closed, say };
}

const ping = (id: number): string => `{"jsonrpc":"2.0","id":${id},"method":"ping"}\n`;

t.test('messages, however the stream is cut', async (t) => {
  const { heard, errors, say } = await opened();
  const text = ping(1);
  await say(text.slice(0, 10), text.slice(10, 20), text.slice(20), `${ping(2)}${ping(3)}${ping(4).slice(0, 5)}`);
  t.match(heard, [{ id: 1 }, { id: 2 }, { id: 3 }]);
  await say(ping(4).slice(5));
  t.match(heard.at(-1), { id: 4, method: 'ping' });
  t.same(errors, []);
});

t.test('half a line is no message, also at the end of the output', async (t) => {
  const { heard, errors, say, stdout, closed } = await opened();
  await say('{"jsonrpc":"2.0","id":1,"method":"ping"}');
  t.same(heard, []);
  stdout.end();
  await settled();
  t.same(heard, []);
  t.same(errors, []);
  t.equal(closed(), 1);
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
  t.match(heard, [{ id: 7 }]);
  t.equal(closed(), 0);
});

t.test('what looks like a message and is none is told', async (t) => {
  const { heard, errors, say } = await opened();
  await say('{"jsonrpc":"1.0","id":1}\n', ping(1));
  t.equal(errors.length, 1);
  t.equal(heard.length, 1);
});

t.test('a line that is too long is dropped and told; what follows is heard', async (t) => {
  const { heard, errors, say, stdout, closed } = await opened();
  const chunk = Buffer.alloc(17 * 1024 * 1024, 'x');
  for (let count = 0; count < 4; count++) await say(chunk);
  t.same(errors, ['a line of more than 67108864 bytes was dropped']);
  await say(chunk, `\n${ping(1)}`);
  t.match(heard, [{ id: 1 }]);
  t.equal(errors.length, 1, 'told once');
  t.equal(closed(), 0);
  t.equal(stdout.readableLength, 0);
});

t.test('a long message in small pieces', async (t) => {
  const { heard, errors, stdout } = await opened();
  const text = 'y'.repeat(32 * 1024 * 1024);
  const line = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"text":"${text}"}}\n`);
  for (let at = 0; at < line.length; at += 65_536) stdout.write(line.subarray(at, at + 65_536));
  await waitFor('the message', () => heard.length === 1, { timeoutMs: 60_000 });
  t.equal((heard[0] as unknown as { params: { text: string } }).params.text.length, text.length);
  t.same(errors, []);
});

t.test('the end of the output ends the conversation once', async (t) => {
  const { transport, stdout, closed } = await opened();
  stdout.end();
  stdout.destroy();
  await settled();
  await transport.close();
  t.equal(closed(), 1);
  await t.rejects(transport.send({ jsonrpc: '2.0', method: 'ping', id: 1 }), {
    message: 'the tool has closed its output',
  });
});

t.test('sends a line each, in order', async (t) => {
  const { transport, stdin } = await opened();
  await Promise.all([1, 2].map((id) => transport.send({ jsonrpc: '2.0', method: 'ping', id })));
  t.equal(String(stdin.read()), '{"jsonrpc":"2.0","method":"ping","id":1}\n{"jsonrpc":"2.0","method":"ping","id":2}\n');
});

t.test('an input that is gone refuses, and is told', async (t) => {
  const { transport, stdin, errors } = await opened();
  stdin.destroy(new Error('EPIPE'));
  await t.rejects(transport.send({ jsonrpc: '2.0', method: 'ping', id: 1 }));
  await settled();
  t.ok(errors.includes('EPIPE'));
});

t.test('closing leaves the process and its streams alone', async (t) => {
  const { transport, stdin, stdout, heard, say, closed } = await opened();
  await transport.close();
  t.equal(closed(), 1);
  t.notOk(stdin.writableEnded);
  await say(ping(1));
  t.same(heard, []);
  t.equal(stdout.readableLength, 0);
});
