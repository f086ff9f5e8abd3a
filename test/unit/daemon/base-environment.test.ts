import t from 'tap';
import { baseEnvironment } from '../../../daemon/base-environment.ts';

t.test("enough to run, nothing that is anyone's secret", async (t) => {
  t.same(
    baseEnvironment({
      PATH: '/bin',
      HOME: '/home/x',
      LANG: 'de_DE.UTF-8',
      LC_ALL: 'C',
      LC_TIME: 'C',
      TZ: 'UTC',
      TERM: '',
      USER: undefined,
      XDG_RUNTIME_DIR: '/run/user/1',
      NODE_EXTRA_CA_CERTS: '/etc/ca.pem',
      AWS_SECRET_ACCESS_KEY: 'hush',
      GITHUB_TOKEN: 'hush',
      DATABASE_URL: 'hush',
      SSH_AUTH_SOCK: '/tmp/agent',
      HTTPS_PROXY: 'http://user:hush@proxy',
      TMPDIR: '/tmp/of-the-daemon',
      NODE_OPTIONS: '--require ./spy.js',
      LD_PRELOAD: './spy.so',
      GOVERNOR_STATE_DIR: '/state',
      MEMORY_PRESSURE_WATCH: '/sock',
      NOTIFY_SOCKET: '/run/systemd/notify',
      path: '/other',
    }),
    {
      PATH: '/bin',
      HOME: '/home/x',
      LANG: 'de_DE.UTF-8',
      LC_ALL: 'C',
      LC_TIME: 'C',
      TZ: 'UTC',
      TERM: '',
      XDG_RUNTIME_DIR: '/run/user/1',
      NODE_EXTRA_CA_CERTS: '/etc/ca.pem',
    },
  );
});

t.test('an exported shell function is code', async (t) => {
  t.same(baseEnvironment({ PATH: '() { :; }; echo spy', LC_ALL: '() { :; }', HOME: '/(x)' }), { HOME: '/(x)' });
});
