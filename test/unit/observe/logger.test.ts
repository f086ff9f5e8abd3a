import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { createLogger, type LogLevel } from '../../../lib/observe/logger.ts';

function capture(level: LogLevel = 'trace'): {
  readonly log: ReturnType<typeof createLogger>;
  readonly lines: string[];
  last(): Record<string, unknown>;
} {
  const lines: string[] = [];
  const log = createLogger({ level, destination: { write: (line) => void lines.push(line) } });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
}

t.test('a line is JSON with level, time, pid and message', (t) => {
  const { log, last } = capture();
  log.warn({ tool: 'a', usage: 3 }, 'over %d percent of %s', 75, 'its limit');
  t.match(last(), { level: 'warn', pid: process.pid, tool: 'a', usage: 3, msg: 'over 75 percent of its limit' });
  t.match(last()['time'], /^\d{4}-\d\d-\d\dT/);
  log.child({ run: 'r1' }).info('x');
  t.match(last(), { run: 'r1', msg: 'x' });
  t.end();
});

t.test('lines below the level are not made', (t) => {
  const { log, lines } = capture('warn');
  log.info('no');
  log.warn('yes');
  t.equal(lines.length, 1);
  const silent = capture('silent');
  silent.log.fatal('no');
  t.equal(silent.lines.length, 0);
  t.end();
});

t.test('no secret reaches a line, whatever way it takes', (t) => {
  const { log, lines } = capture();
  const deep = { a: { b: { c: { token: 'hidden-1', env: { X: 'hidden-2' } } } } };
  const error = Object.assign(
    new Error('call with --api-key=hidden-3 failed', { cause: new Error('password=hidden-4') }),
    {
      headers: { authorization: 'hidden-5' },
    },
  );
  const cycle: Record<string, unknown> = { text: 'token=hidden-6' };
  cycle['self'] = cycle;
  class Request {
    readonly url = 'http://user:hidden-7@host/';
    readonly headers = { 'x-api-key': 'hidden-8' };
  }
  log.info(deep, 'token=hidden-9');
  log.info(
    {
      env: { A: 'hidden-10' },
      headers: { cookie: 'hidden-11' },
      authorization: 'Bearer hidden-12',
      Authorization: 'hidden-13',
    },
    'm',
  );
  log.error(error);
  log.error({ err: error });
  log.error({ err: error }, 'with a message: %s', 'secret=hidden-14');
  log.error({ error, list: [error, { password: 'hidden-15' }] }, 'm');
  log.warn({ cycle, request: new Request(), command: ['x', '--token=hidden-16'] }, 'm');
  log.child({ token: 'hidden-17', note: 'password: hidden-18', env: { B: 'hidden-19' } }).info('m');
  t.equal(lines.length, 8);
  t.strictSame(lines.join('').match(/hidden-\d+/g), null);
  for (const line of lines) JSON.parse(line);
  t.end();
});

t.test('an error keeps its type, its message, its stack and its causes', (t) => {
  const { log, last } = capture();
  const error = Object.assign(new TypeError('broken'), { code: 'E_X', cause: new Error('deeper') });
  log.error({ err: error }, 'failed');
  t.match(last(), { msg: 'failed', err: { type: 'TypeError', message: /broken/, stack: /deeper/, code: 'E_X' } });
  log.error(error);
  t.match(last(), { msg: 'broken', err: { type: 'TypeError' } });
  log.error({ err: 'no error at all' }, 'm');
  t.match(last(), { err: 'no error at all' });
  t.end();
});

t.test('a file is private and appended to', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'governor-test-log-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'governor.log');
  for (const message of ['one', 'two']) {
    const log = createLogger({ level: 'info', destination: { file } });
    log.info(message);
    await new Promise<void>((resolve) => log.flush(() => resolve()));
  }
  t.strictSame(
    (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { msg: string }).msg),
    ['one', 'two'],
  );
  t.equal((await stat(file)).mode & 0o777, 0o600);
});

t.test('a log that cannot be written is told once and ends nothing, not even at exit', async (t) => {
  // In a process of its own: what it does at its exit is part of the question.
  const logger = join(import.meta.dirname, '../../../lib/observe/logger.js');
  const program = `
    import { createLogger } from ${JSON.stringify(logger)};
    const losses = [];
    const log = createLogger({ level: 'info', destination: { file: '/dev/full' }, onLoss: (error) => losses.push(error.code) });
    for (let index = 0; index < 100; index += 1) log.info('x'.repeat(100_000));
    await new Promise((resolve) => setImmediate(resolve));
    process.stdout.write(JSON.stringify(losses));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    timeout: 30_000,
  });
  t.strictSame(JSON.parse(stdout), ['ENOSPC']);
});

t.test('a log file that cannot be opened is refused at once', (t) => {
  t.throws(() => createLogger({ level: 'info', destination: { file: '/proc/nowhere/x.log' } }), { code: 'ENOENT' });
  t.end();
});
