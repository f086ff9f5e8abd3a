import t from 'tap';
import { resolveLocations, socketPathLimitBytes } from '../../../../daemon/cli/locations.ts';

const NO_FLAGS = { config: null, stateDir: null, listen: null };

function at(
  env: Record<string, string>,
  flags: Partial<typeof NO_FLAGS | { stateDir: string; config: string; listen: string }> = {},
) {
  return resolveLocations({ ...NO_FLAGS, ...flags }, { env, cwd: '/some/dir', platform: 'linux' });
}

t.test('the state directory, strongest first', async (t) => {
  const all = {
    GOVERNOR_STATE_DIR: '/by-variable',
    STATE_DIRECTORY: '/by-systemd:/second',
    XDG_STATE_HOME: '/xdg',
    HOME: '/home/a',
  };
  t.equal(at(all, { stateDir: '/by-flag' }).stateDir, '/by-flag');
  t.equal(at(all).stateDir, '/by-variable');
  t.equal(at({ ...all, GOVERNOR_STATE_DIR: '' }).stateDir, '/by-systemd');
  t.equal(at({ XDG_STATE_HOME: '/xdg', HOME: '/home/a' }).stateDir, '/xdg/governor');
  t.equal(at({ HOME: '/home/a' }).stateDir, '/home/a/.local/state/governor');
  t.equal(
    at({ XDG_STATE_HOME: 'relative', HOME: '/home/a' }).stateDir,
    '/home/a/.local/state/governor',
    'a relative XDG path is ignored',
  );
  t.equal(at({}, { stateDir: 'here' }).stateDir, '/some/dir/here', 'a relative path starts at the working directory');
  t.throws(() => at({}), {
    code: 'state_dir',
    message: /neither GOVERNOR_STATE_DIR, XDG_STATE_HOME nor HOME is set; give --state-dir/,
  });
});

t.test('the socket lies in the state directory when that was named, else in the runtime directory', async (t) => {
  const runtime = { XDG_RUNTIME_DIR: '/run/user/7', HOME: '/h' };
  t.equal(at(runtime).listenSocketPath, '/run/user/7/governor/governor.sock');
  t.equal(at(runtime).explicitStateDir, false);
  t.equal(at({ HOME: '/h' }).listenSocketPath, '/h/.local/state/governor/governor.sock');
  t.equal(at({ HOME: '/h', XDG_RUNTIME_DIR: 'relative' }).listenSocketPath, '/h/.local/state/governor/governor.sock');
  for (const named of [
    at(runtime, { stateDir: '/s' }),
    at({ ...runtime, GOVERNOR_STATE_DIR: '/s' }),
    at({ ...runtime, STATE_DIRECTORY: '/s' }),
  ]) {
    t.equal(named.listenSocketPath, '/s/governor.sock');
    t.equal(named.explicitStateDir, true);
    t.same(named.connectSocketPaths, ['/s/governor.sock']);
  }
});

t.test('a client with and one without XDG_RUNTIME_DIR look at a common place first', async (t) => {
  t.same(at({ HOME: '/h', XDG_RUNTIME_DIR: '/run/user/7' }).connectSocketPaths, [
    '/h/.local/state/governor/governor.sock',
    '/run/user/7/governor/governor.sock',
  ]);
  t.same(at({ HOME: '/h' }).connectSocketPaths, ['/h/.local/state/governor/governor.sock']);
});

t.test('a socket path that the system cannot hold', async (t) => {
  const longest = `/${'d'.repeat(107 - '//governor.sock'.length)}`;
  t.equal(at({}, { stateDir: longest }).listenSocketPath.length, 107);
  t.throws(() => at({}, { stateDir: `${longest}d` }), {
    code: 'state_dir',
    message: /has 108 bytes, the system allows 107; choose a shorter --state-dir/,
  });
  t.throws(
    () => at({}, { stateDir: `/${'é'.repeat(50)}` }),
    { code: 'state_dir' },
    'bytes are counted, not characters',
  );
  const long = at({ HOME: longest, XDG_RUNTIME_DIR: '/run/user/7' });
  t.same(long.connectSocketPaths, ['/run/user/7/governor/governor.sock'], 'one that is too long is not tried');
  t.equal(socketPathLimitBytes('darwin'), 103);
});

t.test('configuration and address', async (t) => {
  const env = { HOME: '/h', GOVERNOR_CONFIG: 'limits.yaml', GOVERNOR_LISTEN: '127.0.0.1:1' };
  t.match(at(env), { configPath: '/some/dir/limits.yaml', listen: '127.0.0.1:1' });
  t.match(at(env, { config: '/etc/limits.yaml', listen: '127.0.0.1:2' }), {
    configPath: '/etc/limits.yaml',
    listen: '127.0.0.1:2',
  });
  t.match(at({ HOME: '/h' }), { configPath: null, listen: null });
});
