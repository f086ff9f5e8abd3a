/** The examples of daemon/docs/client.md are the files of test/fixtures/examples, and print what the page says. */

import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startDaemon } from '../helpers/daemon.ts';
import { projectRoot } from '../helpers/project-root.ts';
import { startRedis } from '../helpers/redis.ts';
import { lacks } from '../helpers/skip.ts';
import { runStairs } from '../helpers/stairs.ts';
import { patience, waitFor } from '../helpers/wait-for.ts';

const examples = join(projectRoot, 'test/fixtures/examples');
const compiled = (name: string): string => join(projectRoot, 'dist/test/fixtures/examples', `${name}.js`);
const page = readFileSync(join(projectRoot, 'daemon/docs/client.md'), 'utf8');
const blocks = [...page.matchAll(/^```([a-z]*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
  language,
  text,
}));
const names = readdirSync(examples).map((file) => file.replace(/\.ts$/, ''));

/** What follows `$ node NAME.js`. */
function printed(name: string): string {
  const start = `$ node ${name}.js\n`;
  const block = blocks.find(({ language, text }) => language === 'console' && text.startsWith(start));
  if (block === undefined) throw new Error(`client.md does not show what ${name} prints`);
  return block.text.slice(start.length);
}

function run(name: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    // npx finds the servers that are installed here.
    const options = {
      cwd: projectRoot,
      timeout: patience(60_000),
      env: { ...process.env, npm_config_offline: 'true', ...env },
    };
    execFile(process.execPath, [compiled(name)], options, (error, stdout, stderr) => {
      if (error === null && stderr === '') resolve(stdout);
      else reject(new Error(`${name}: ${error?.message ?? ''} ${stderr} ${stdout}`));
    });
  });
}

t.test('each block of TypeScript is a file, and each file is a block', async (t) => {
  const shown = blocks.flatMap(({ language, text }) => (language === 'ts' ? [text] : []));
  t.same(shown.sort(), names.map((name) => readFileSync(join(examples, `${name}.ts`), 'utf8')).sort());
});

for (const name of names.filter((one) => one !== 'shared-cache' && one !== 'pressure'))
  t.test(name, { timeout: patience(100_000) }, async (t) => {
    t.equal(await run(name), printed(name));
  });

t.test('shared-cache', { skip: lacks('redis'), timeout: patience(100_000) }, async (t) => {
  const { url } = await startRedis(t);
  t.equal(await run('shared-cache', { REDIS_URL: url }), printed('shared-cache'));
});

t.test('pressure, under a daemon', { skip: lacks('linux'), timeout: patience(100_000) }, async (t) => {
  const daemon = await startDaemon(t, { config: { daemon: { sample_interval: '100ms' }, tools: {} } });
  const [start = '', end = ''] = blocks.flatMap(({ language, text }, index) => {
    if (language !== 'console' || !text.startsWith('$ governor run')) return [];
    return [text.slice(text.indexOf('\n') + 1), blocks[index + 1]?.text ?? ''];
  });
  t.match(page, /^\$ governor run --name pages --memory 200MiB -- node pressure\.js$/m);
  const pages = runStairs(t, daemon, 'pages', {
    flags: ['--memory', '200MiB'],
    command: [process.execPath, compiled('pressure')],
  });
  await waitFor('what the page says', () => `${pages.lines().join('\n')}\n`.startsWith(start), { timeoutMs: 60_000 });
  t.equal((await daemon.cli(['stop', 'pages'])).code, 0);
  await pages.ended;
  t.equal(`${pages.lines().slice(-3).join('\n')}\n`, end);
});

t.test('without a daemon it says why', async (t) => {
  const first = new Promise<string>((resolve, reject) => {
    const child = execFile(process.execPath, [compiled('pressure')], { env: { PATH: process.env['PATH'] } });
    t.teardown(() => void child.kill('SIGKILL'));
    child.once('error', reject);
    child.stdout?.once('data', (text: string) => resolve(text));
  });
  t.match(await first, /^this process was not started by Governor: GOVERNOR_SOCKET is not set\n/);
});
