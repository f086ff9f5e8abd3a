import t from 'tap';
import { MASK, maskArguments, maskBeginning, maskLabel, maskShort, maskText } from '../../../lib/core/mask.ts';
import { isSecretName } from '../../../lib/core/mask-names.ts';

t.test('names that say secret', (t) => {
  const secret = [
    '--token',
    '--api-key',
    '--apiKey',
    'API_KEY',
    'apikey',
    'OPENAI_API_KEY',
    '--client-secret',
    'clientSecret',
    '--password',
    'PGPASSWORD',
    'MYSQL_PWD',
    '--passwd',
    '--passphrase',
    '--db-pass',
    '--auth',
    'Authorization',
    'X-Auth-Token',
    'Proxy-Authorization',
    '--credential',
    '--credentials-json',
    '--bearer',
    'Cookie',
    'Set-Cookie',
    '--private',
    '--privateKey',
    '--signature',
    '--dsn',
    'SENTRY_DSN',
    '--connection-string',
    'connectionString',
    'CONNECTION_STRING',
    'ConnectionStrings',
    '--jwt',
    'GITHUB_PAT',
    '--otp',
    '--KEY',
    '--keyboard-token',
    '--authorKey',
  ];
  for (const name of secret) t.equal(isSecretName(name), true, name);
  const plain = [
    '--port',
    '--name',
    '--keyboard',
    '--author',
    '--authors',
    '--max-tokens',
    '--maxTokens',
    '--tokenizer',
    '--monkey',
    'PATH',
    'compass',
    '--pattern',
    '--passive',
  ];
  for (const name of plain) t.equal(isSecretName(name), false, name);
  t.end();
});

t.test('arguments', (t) => {
  const table: readonly (readonly [readonly string[], readonly string[]])[] = [
    [
      ['server', '--token=abc'],
      ['server', '--token=•••'],
    ],
    [
      ['--token', 'abc', '--port', '80'],
      ['--token', MASK, '--port', '80'],
    ],
    [
      ['--api-key', 'X'],
      ['--api-key', MASK],
    ],
    [
      ['--apiKey', 'X', 'next'],
      ['--apiKey', MASK, 'next'],
    ],
    [
      ['-apikey', 'X'],
      ['-apikey', MASK],
    ],
    [['--key=a=b c,d'], ['--key=•••']],
    [['password=hunter2 and more'], ['password=•••']],
    [
      ['OPENAI_API_KEY=whatever', 'node'],
      ['OPENAI_API_KEY=•••', 'node'],
    ],
    [
      ['docker', 'run', '-e', 'DB_PASSWORD=x', '-eAPI_TOKEN=y'],
      ['docker', 'run', '-e', 'DB_PASSWORD=•••', '-eAPI_TOKEN=•••'],
    ],
    [['--env=API_KEY=x'], ['--env=API_KEY=•••']],
    [
      ['docker', 'run', '-e', 'FOO=v', '-eBAR=v', '-ebaz=v', '--env', 'A=b=c', '--env=B=v', '-e', 'HOME', 'img'],
      [
        'docker',
        'run',
        '-e',
        'FOO=•••',
        '-eBAR=•••',
        '-ebaz=•••',
        '--env',
        'A=•••',
        '--env=B=•••',
        '-e',
        'HOME',
        'img',
      ],
    ],
    [
      ['/usr/bin/env', '-i', '-u', 'X', 'FOO=v', 'EMPTY=', 'Bar=two words', 'node', 'a=b'],
      ['/usr/bin/env', '-i', '-u', 'X', 'FOO=•••', 'EMPTY=', 'Bar=•••', 'node', 'a=b'],
    ],
    [
      ['timeout', '5', 'env', 'FOO=v', 'env', 'BAR=v', 'x'],
      ['timeout', '5', 'env', 'FOO=•••', 'env', 'BAR=•••', 'x'],
    ],
    [
      ['npx', 'cross-env', 'FOO=v', 'node', 'x.js'],
      ['npx', 'cross-env', 'FOO=•••', 'node', 'x.js'],
    ],
    [
      ['systemd-run', '-E', 'FOO=v', '--setenv=BAR=v', 'x'],
      ['systemd-run', '-E', 'FOO=•••', '--setenv=BAR=•••', 'x'],
    ],
    [
      ['tool', '--env=production', '-endpoint=here', '-e', 'some text', '--env', 'dev'],
      ['tool', '--env=production', '-endpoint=here', '-e', 'some text', '--env', 'dev'],
    ],
    [
      ['curl', '-sSu', 'ann:pw', '--user', 'ann:pw', '-uann:pw', '--proxy-user', 'ann:p:w', '-u', 'ann', 'u'],
      ['curl', '-sSu', 'ann:•••', '--user', 'ann:•••', '-uann:•••', '--proxy-user', 'ann:•••', '-u', 'ann', 'u'],
    ],
    [
      ['docker', 'run', '-u', '1000:1000', 'img'],
      ['docker', 'run', '-u', '1000:1000', 'img'],
    ],
    [
      ['--set', 'a=1', '--define=b=c=d'],
      ['--set', 'a=1', '--define=b=c=d'],
    ],
    [
      ['-H', 'Authorization: Bearer abc def'],
      ['-H', 'Authorization: •••'],
    ],
    [
      ['-H', 'X-Api-Key: a b'],
      ['-H', 'X-Api-Key: •••'],
    ],
    [['--header=Authorization: Basic dXNlcjpwYXNz'], ['--header=Authorization: •••']],
    [
      ['--header', 'Authorization:', 'Bearer', 'abc'],
      ['--header', 'Authorization:', MASK, MASK],
    ],
    [
      ['--token', '--verbose', 'x'],
      ['--token', '--verbose', 'x'],
    ],
    [
      ['--token', '-9abc'],
      ['--token', MASK],
    ],
    [['postgres://user:pa@ss@db:5432/app'], ['postgres://•••@db:5432/app']],
    [['https://token@example.org/x'], ['https://•••@example.org/x']],
    [['redis://:p/w@host/0'], ['redis://•••@host/0']],
    [['https://example.org:8080/@scope/pkg'], ['https://example.org:8080/@scope/pkg']],
    [['https://[::1]:80/@x'], ['https://[::1]:80/@x']],
    [['https://example.org/?api_key=abc&x=1'], ['https://example.org/?api_key=•••']],
    [['https://u:pw@example.org/x?token=abc'], ['https://•••@example.org/x?token=•••']],
    [['--url=https://u:pw@example.org/x?token=abc'], ['--url=https://•••@example.org/x?token=•••']],
    [['https://token:a=b@example.org/'], ['https://•••@example.org/']],
    [
      ['-H', 'Authorization: Basic dXNlcjpwYXM='],
      ['-H', 'Authorization: •••'],
    ],
    [
      ['sh', '-c', 'login --api-token xyz; A=b'],
      ['sh', '-c', 'login --api-token •••; A=•••'],
    ],
    [
      ['sk-ant-api03-abcdef', 'ghp_abcdef0123456789'],
      [MASK, MASK],
    ],
    [['AKIAIOSFODNN7EXAMPLE'], [MASK]],
    [
      ['xoxb-123456-abcdef', 'glpat-abc123DEF456'],
      [MASK, MASK],
    ],
    [['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln'], [MASK]],
    [
      ['--config', '{"apiKey":"abc","port":1}'],
      ['--config', '{"apiKey":"•••","port":1}'],
    ],
    [['--config={"apiKey":"abc","port":1}'], ['--config={"apiKey":"•••","port":1}']],
    [
      ['sh', '-c', "curl -H 'Authorization: Bearer a b' --api-token xyz u"],
      ['sh', '-c', "curl -H 'Authorization: •••' --api-token ••• u"],
    ],
    [['a3f5c9d2e8b1a3f5c9d2e8b1a3f5c9d2'], [MASK]],
    [['tVq7Zp2Lk9XwB4nR8sYc1HdF6gJm3QaU'], [MASK]],
    [['3f2b8a90-1c4d-4e5f-8a7b-0c1d2e3f4a5b'], ['3f2b8a90-1c4d-4e5f-8a7b-0c1d2e3f4a5b']],
    [
      ['-p', 'VALUE', '-y', '@scope/server@1.2.3'],
      ['-p', 'VALUE', '-y', '@scope/server@1.2.3'],
    ],
    [
      ['/home/me/node_modules/.bin/server', '--max-tokens', '4096'],
      ['/home/me/node_modules/.bin/server', '--max-tokens', '4096'],
    ],
    [
      ['img@sha256:aaaabbbbccccdddd1111222233334444aaaabbbbccccdddd1111222233334444'],
      ['img@sha256:aaaabbbbccccdddd1111222233334444aaaabbbbccccdddd1111222233334444'],
    ],
    [[], []],
    [
      ['', '='],
      ['', '='],
    ],
  ];
  for (const [given, wanted] of table) t.same(maskArguments(given), wanted, JSON.stringify(given));
  t.end();
});

t.test('free text', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['connect with token=abc failed', 'connect with token=••• failed'],
    ['token: abc was refused', 'token: ••• was refused'],
    ['cannot run /srv/get-token: permission denied', 'cannot run /srv/get-token: permission denied'],
    ['get-token: Command not found', 'get-token: Command not found'],
    ['token: permission-denied-no', 'token: •••'],
    ['token: is a directory2', 'token: ••• a directory2'],
    ['password = "a \\" b" here', 'password = "•••" here'],
    ["{'secret': 'x y', 'n': 1}", "{'secret': '•••', 'n': 1}"],
    ['{"a":"{\\"token\\":\\"x y\\",\\"b\\":1}"}', '{"a":"{\\"token\\":\\"•••\\",\\"b\\":1}"}'],
    ['Authorization: Digest user="x"', 'Authorization: •••"x"'],
    ['GET /\nCookie: a=b; c=d\nHost: x', 'GET /\nCookie: •••\nHost: x'],
    ['"authorization":"Bearer abc","msg":"hi"', '"authorization":"•••","msg":"hi"'],
    ['used Bearer abc12345 for it', 'used Bearer ••• for it'],
    ['basic authentication is needed', 'basic authentication is needed'],
    ['spawn tool --api-key abc --port 1', 'spawn tool --api-key ••• --port 1'],
    ['limits.yaml:3:5: unknown key: memmory', 'limits.yaml:3:5: unknown key: memmory'],
    ['"key": "abc"', '"key": "•••"'],
    ['mysql://root:x@h/db and postgres://a:b@c/d', 'mysql://•••@h/db and postgres://•••@c/d'],
    ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- done', '••• done'],
    ['-----BEGIN PRIVATE KEY-----\nabc', '•••'],
    ['-----BEGIN CERTIFICATE-----\nabc', '-----BEGIN CERTIFICATE-----\nabc'],
    ['token="never closed', 'token="•••'],
    ['memory 412 MiB is over 150 % of its limit 256 MiB', 'memory 412 MiB is over 150 % of its limit 256 MiB'],
    ['npm_config_user_agent', 'npm_config_user_agent'],
    ['secret=', 'secret='],
    ['', ''],
  ];
  for (const [given, wanted] of table) t.equal(maskText(given), wanted, JSON.stringify(given));
  t.end();
});

t.test('masking is stable: a masked text stays as it is', (t) => {
  for (const text of ['token=abc', '--api-key abc', 'https://a:b@c', 'Authorization: Bearer x', '{"token":"a"}']) {
    t.equal(maskText(maskText(text)), maskText(text), text);
  }
  t.end();
});

t.test('hostile input: work grows in proportion to length', (t) => {
  // A quadratic pass over half a million units would take hours: that this ends at all is the assertion.
  const units = 500_000;
  const seeds = [
    'token=',
    'token="',
    "key='",
    'a=',
    '://',
    'a://b:c/',
    '-----BEGIN ',
    '-----BEGIN PRIVATE KEY-----',
    'eyJ',
    'sk-',
    'bearer ',
    'Cookie:',
    '\\',
    '"',
    ' ',
    '--token ',
    'token\\\\"',
    '-',
    'x',
    'A1b',
    'authorization: ',
    '@',
    'token=\\"',
    '\n',
    'env',
    '-eA=',
    '-u:',
  ];
  for (const seed of seeds) {
    const text = seed.repeat(Math.ceil(units / seed.length));
    t.type(maskText(text), 'string', JSON.stringify(seed));
    t.equal(maskArguments([text, text]).length, 2, JSON.stringify(seed));
  }
  t.end();
});

t.test('a secret never survives, however it is written', (t) => {
  const secret = 'Zx9Secret';
  const forms = [
    [`--token=${secret}`],
    ['--token', secret],
    [`--auth-token=${secret}`],
    [`TOKEN=${secret}`],
    [`token:${secret}`],
    [`Token: ${secret}`],
    [`{"token":"${secret}"}`],
    [`{"token" : "${secret}"}`],
    [`https://u:${secret}@h/`],
    [`https://h/?access_token=${secret}&a=1`],
    [`--url=https://u:${secret}@h/`],
    [`https://u:${secret}@h/x?token=abc`],
    [`--url=https://u:${secret}@h/x?token=abc`],
    [`https://key:${secret}=@h/?token=abc`],
    [`--header=Authorization: Basic ${secret}=`],
    [`Authorization: token ${secret}`],
    ['sh', '-c', `TOKEN=${secret} node x`],
    ['sh', '-c', `node x --password '${secret}'`],
    ['sh', '-c', `node x --password "${secret}"`],
    ['env', `PASSWORD=${secret}`, 'x'],
  ];
  const onlyAsArguments = [
    ['env', '--', `FOO=${secret}`, 'x'],
    ['docker', 'run', '-e', `FOO=${secret}`, 'img'],
    ['docker', 'run', `--env=FOO=${secret}`, 'img'],
    ['curl', '-u', `ann:${secret}`, 'u'],
  ];
  for (const argv of onlyAsArguments) t.notMatch(maskArguments(argv).join(' '), secret, `arguments ${argv.join(' ')}`);
  for (const argv of forms) {
    t.notMatch(maskArguments(argv).join(' '), secret, `arguments ${argv.join(' ')}`);
    t.notMatch(maskText(argv.join(' ')), secret, `text ${argv.join(' ')}`);
  }
  t.end();
});

t.test('what is cut leaves no half of a secret, whether it is cut for length or not read any further', async (t) => {
  const body = 'Zx9Secret'.repeat(5);
  const secrets = [
    `sk-ant-${body}`,
    `token=${body}`,
    `Bearer ${body}`,
    `https://u:${body}@host/`,
    `"password": "${body}"`,
  ];
  const wrong: string[] = [];
  const cuts = [
    [64, (text: string) => maskLabel(text, 64)],
    [128, (text: string) => maskLabel(text, 128)],
    [1_000, maskShort],
    [2_000, (text: string) => maskBeginning(text, 2_000)],
  ] as const;
  for (const [most, cut] of cuts) {
    // What is hidden takes the room of three: then the end of what is read is near.
    const hidden = 'a1'.repeat(2 * most);
    for (const secret of secrets)
      for (const [start, pad] of [
        ['', most],
        [hidden, 516],
      ] as const)
        for (let before = pad - 60; before <= pad; before += 9) {
          const text = `${start}${'. '.repeat(most).slice(0, before)}${secret} ${'. '.repeat(4 * most)}`;
          const shown = cut(text);
          if (/Zx9|Secret|9S/.test(shown) || shown.length > most + 1)
            wrong.push(`${most}, ${before}: ${shown.slice(-80)}`);
        }
  }
  t.same(wrong, []);
});

t.test('what is short stays whole, and what is not says so', async (t) => {
  t.equal(maskShort('x'.repeat(1_000)), 'x'.repeat(1_000));
  t.equal(maskShort('x'.repeat(1_001)), `${'x'.repeat(1_000)}…`);
  t.equal(maskShort('x'.repeat(5_000_000)), `${'x'.repeat(1_000)}…`);
  t.equal(maskShort(`token=${'9'.repeat(2_000)} and more`), 'token=••• and more');
  t.equal(maskShort(`token=${'9'.repeat(10_000)}`), '…', 'all that was read may be one secret');
  t.equal(maskBeginning('x'.repeat(10_000), 64), 'x'.repeat(64));
  t.equal(maskBeginning('', 64), '');
  t.equal(maskLabel('a\u0007b\n\u001b[31m', 64), 'a b  [31m');
  t.equal(maskLabel('\u{e0001}'.repeat(10_000), 64), ' '.repeat(64));
});
