import t from 'tap';
import { readServerSentEvents } from '../../../../daemon/cli/sse.ts';

async function* pieces(text: string, size: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

async function read(text: string, size: number): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of readServerSentEvents(pieces(text, size))) items.push(item);
  return items;
}

const STREAM =
  ': live\n\nretry: 2000\n\nid: d.1\nevent: stage\ndata: {"a":1}\n\nid: d.2\r\ndata:one\r\ndata: two\r\n\r\n: \ndata\n\nunknown: x\ndata: cut off';

t.test('the stream may be cut anywhere', async (t) => {
  const expected = [
    { comment: 'live' },
    { id: 'd.1', event: 'stage', data: '{"a":1}' },
    { id: 'd.2', event: null, data: 'one\ntwo' },
    { comment: '' },
    { id: 'd.2', event: null, data: '' },
  ];
  for (const size of [1, 2, 3, 7, 1000]) t.same(await read(STREAM, size), expected, `pieces of ${size}`);
});

t.test('a stream without end of line is given up', async (t) => {
  await t.rejects(read('data: '.padEnd(5 * 1024 * 1024, 'x'), 65_536), /more than 4 MiB/);
  await t.rejects(read('data: xxxxxxxxxxxxxxxx\n'.repeat(300_000), 65_536), /more than 4 MiB/);
});
