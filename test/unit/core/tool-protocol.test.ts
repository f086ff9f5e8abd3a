import t from 'tap';
import { describeHandles, parseDaemonMessage, parseNotice, parseToolMessage } from '../../../lib/core/tool-protocol.ts';

t.test('what a tool says', async (t) => {
  for (const message of [
    { type: 'hello', version: 1 },
    { type: 'holds', handles: 3 },
    { type: 'cleaned', id: 1, held: 3, closed: 2, failed: [{ name: 'db', reason: 'ECONNRESET' }] },
  ]) {
    t.same(parseToolMessage(JSON.stringify(message)), message);
    t.same(parseToolMessage(JSON.stringify({ ...message, later: 'fields' })), message, 'what is new is ignored');
  }
  for (const bad of [
    '',
    'x',
    '[]',
    'null',
    '7',
    '{}',
    '{"type":"hello"}',
    '{"type":"hello","version":"1"}',
    '{"type":"hello","version":-1}',
    '{"type":"hello","version":0}',
    '{"type":"holds","handles":1.5}',
    '{"type":"holds","handles":1e400}',
    '{"type":"cleaned","id":1,"held":1,"closed":1}',
    '{"type":"cleaned","id":1,"held":1,"failed":[]}',
    '{"type":"new"}',
  ])
    t.equal(parseToolMessage(bad), null, bad);
});

t.test('what it names is bounded, and fit to be shown', async (t) => {
  const failed = [
    null,
    7,
    { name: 'no reason' },
    { name: 'x'.repeat(1_000), reason: 'y'.repeat(1_000) },
    { name: 'a\nb\u001b[31m', reason: 'token=abcdefghijklmnop' },
    { name: 'cut', reason: `${'. '.repeat(90)}https://u:${'Zx9Secret'.repeat(5)}@host/` },
    ...Array.from({ length: 100 }, () => ({ name: 'more', reason: 'r' })),
  ];
  const message = parseToolMessage(JSON.stringify({ type: 'cleaned', id: 1, held: 1, closed: 0, failed }));
  if (message?.type !== 'cleaned') throw new Error('it is a message');
  t.equal(message.failed.length, 17, 'of the first twenty those that have both');
  t.match(message.failed[0], { name: /^x{100}$/, reason: /^y{200}$/ });
  t.equal(message.failed[1]?.name, 'a b [31m');
  t.notMatch(message.failed[1]?.reason, /abcdefgh/);
  t.match(message.failed[2]?.reason, /\. https:\/\/•••@host\/$/, 'hidden before it is cut');
});

t.test('what the daemon says', async (t) => {
  const notice = { resource: 'memory', stage: 'warning', usage: 3, limit: 4, ratio: 0.75 };
  for (const message of [
    { type: 'welcome', version: 1 },
    { type: 'pressure', notice },
    { type: 'pressure', notice: { ...notice, shared: 'context' } },
    { type: 'cleanup', id: 1, reason: 'limit', deadlineMs: 2_500 },
    { type: 'cleanup', id: 1, reason: 'context_changed', deadlineMs: 2_500, keepShared: true },
  ])
    t.same(parseDaemonMessage(JSON.stringify(message)), message);
  for (const bad of [
    'x',
    '{"type":"pressure"}',
    '{"type":"pressure","notice":{"resource":"memory"}}',
    '{"type":"cleanup","id":1,"reason":"x"}',
    '{"type":"new"}',
  ])
    t.equal(parseDaemonMessage(bad), null, bad);
  t.equal(parseNotice({ ...notice, ratio: Number.NaN }), null);
  t.same(parseNotice({ ...notice, shared: 'of a newer daemon' }), notice);
});

t.test('in words', async (t) => {
  t.equal(describeHandles({ held: 1, closed: 1, failed: [] }), '1 handle: 1 closed');
  t.equal(
    describeHandles({
      held: 4,
      closed: 2,
      failed: [
        { name: 'db', reason: 'EIO' },
        { name: 'file', reason: 'late' },
      ],
    }),
    '4 handles: 2 closed, 2 not: db (EIO), file (late)',
  );
  t.equal(describeHandles({ held: 4, closed: 2, failed: [] }), '4 handles: 2 closed, 2 not');
});
