import t, { type Test } from 'tap';
import { banner } from '../../../daemon/banner.ts';
import { loadConfig } from '../../../config/load.ts';
import { FAKE_HOST } from '../../helpers/fake-views.ts';

const TOOLS = 'version: 1\ntools:\n  one: { command: node }\n  two: { command: node }\n';

function input(text: string, stateDir = '/home/x/.local/state/governor') {
  const config = loadConfig({ path: '/limits.yaml', text, host: { memoryBytes: 8 * 1024 ** 3, cores: 4 }, env: {} });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  return { address: { host: '127.0.0.1', port: 7717 }, stateDir, config: config.value, report: FAKE_HOST, json: false };
}

function environment(t: Test, variables: Readonly<Record<string, string>>): void {
  const before = { ...process.env };
  for (const name of Object.keys(process.env))
    if (/^(HOME|XDG_|GOVERNOR_|STATE_DIRECTORY)/.test(name)) delete process.env[name];
  Object.assign(process.env, variables);
  t.teardown(() => {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, before);
  });
}

const commands = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => /^ {2}\S*governor |^ {2}curl /.test(line))
    .map((line) => line.trim());

t.test('where it is, what holds, and three commands to try', async (t) => {
  environment(t, { HOME: '/home/x' });
  const text = banner(input(TOOLS));
  t.match(text, /^\nGovernor is up at http:\/\/127\.0\.0\.1:7717\n/);
  t.match(text, /token +\/home\/x\/\.local\/state\/governor\/token\n/);
  t.match(text, `containment  ${FAKE_HOST.backend} (`);
  t.match(text, /tools +one, two\n/);
  t.match(text, /MCP +http:\/\/127\.0\.0\.1:7717\/mcp \(every tool\), .*\/mcp\/NAME, .*: governor connect NAME\n/);
  t.same(commands(text), [
    'governor ls',
    'governor usage',
    'curl -H "Authorization: Bearer $(cat /home/x/.local/state/governor/token)" http://127.0.0.1:7717/v1/usage',
  ]);
  t.match(banner(input('version: 1\ntools: {}\n')), /tools +none yet\n/);
});

t.test('the commands lead to this daemon, however it was started', async (t) => {
  environment(t, { HOME: '/home/x' });
  t.match(commands(banner(input(TOOLS, '/srv/state'))), [
    'governor ls --state-dir /srv/state',
    'governor usage --state-dir /srv/state',
    /cat \/srv\/state\/token/,
  ]);
  t.match(commands(banner(input(TOOLS, "/srv/it's here"))), [`governor ls --state-dir '/srv/it'\\''s here'`]);
  environment(t, { HOME: '/home/x', GOVERNOR_COMMAND: './daemon/bin/governor' });
  t.match(commands(banner(input(TOOLS))), ['./daemon/bin/governor ls']);
  environment(t, { GOVERNOR_STATE_DIR: '/srv/state' });
  t.match(commands(banner(input(TOOLS, '/srv/state'))), [/^governor ls$/]);
  environment(t, {});
  t.match(
    commands(banner(input(TOOLS, '/srv/state'))),
    [/^governor ls --state-dir/],
    'no place for the state without an option',
  );
});

t.test('IPv6, and JSON for programs', async (t) => {
  environment(t, { HOME: '/home/x' });
  const given = { ...input(TOOLS), address: { host: '::1', port: 8 } };
  t.match(banner(given), 'http://[::1]:8');
  const json = banner({ ...given, json: true });
  t.equal(json.indexOf('\n'), json.length - 1, 'one line');
  t.same(JSON.parse(json), {
    url: 'http://[::1]:8',
    token: '/home/x/.local/state/governor/token',
    stateDir: '/home/x/.local/state/governor',
    backend: FAKE_HOST.backend,
    tools: ['one', 'two'],
  });
});
