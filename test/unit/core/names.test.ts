import t from 'tap';
import { MAX_NAME_CHARACTERS, NAME_RULE, nameFromCommand, parseToolName } from '../../../lib/core/names.ts';

t.test('names that are allowed', (t) => {
  for (const name of [
    'a',
    'everything',
    'My tool',
    'x.y-z_1@2+3:4',
    `it's "quoted" (1)`,
    'größe',
    '日本語',
    'हिन्दी',
    '-v',
    'a'.repeat(MAX_NAME_CHARACTERS),
    '𝒳'.repeat(64),
  ]) {
    t.same(parseToolName(name), { ok: true, value: name.normalize('NFC') }, name);
  }
  t.same(parseToolName('e\u0301'), { ok: true, value: 'é' }, 'normalised');
  t.same(parseToolName('e\u0301'.repeat(64)), { ok: true, value: 'é'.repeat(64) }, 'length counts after normalisation');
  t.end();
});

t.test('names that are refused say what and where', (t) => {
  t.equal(NAME_RULE, `a tool name has 1 to 64 characters: letters, digits, marks, spaces and . _ - @ + : ' " ( )`);
  const table: readonly (readonly [string, string])[] = [
    ['', 'it is empty'],
    ['a/b', '"/" at character 2 is not allowed'],
    ['a\nb', 'U+000A at character 2 is not allowed'],
    ['a\u202Eb', 'U+202E at character 2 is not allowed'],
    ['ab\u200D', 'U+200D at character 3 is not allowed'],
    ['a\0', 'U+0000 at character 2 is not allowed'],
    ['\u00A0a', 'U+00A0 at character 1 is not allowed'],
    ['a\uD800', 'U+D800 at character 2 is not allowed'],
    ['😀', '"😀" at character 1 is not allowed'],
    ['a\\b', '"\\" at character 2 is not allowed'],
    ['½', '"½" at character 1 is not allowed'],
    [' a', 'it must not start with a space (character 1)'],
    ['a ', 'it must not end with a space (character 2)'],
    ['.a', 'it must not start with a dot (character 1)'],
    ['..', 'it must not start with a dot (character 1)'],
    ['a.', 'it must not end with a dot (character 2)'],
    ['a'.repeat(65), 'this one has 65 characters'],
    ['a'.repeat(1_000_000), 'this one has more than 64 characters'],
  ];
  for (const [raw, what] of table)
    t.same(parseToolName(raw), { ok: false, error: `${NAME_RULE}; ${what}` }, JSON.stringify(raw.slice(0, 70)));
  t.end();
});

t.test('a sensible name for a command', (t) => {
  const table: readonly (readonly [string, readonly string[], string])[] = [
    ['npx', ['-y', '@scope/server-x@1.2', '--flag'], 'server-x'],
    ['npx', ['server-x'], 'server-x'],
    ['npx', ['--yes', '--package', '@a/b', 'tool'], 'tool'],
    ['npx', ['-y', 'github:user/repo#main'], 'repo'],
    ['/usr/bin/npx', ['-y', '@modelcontextprotocol/server-everything'], 'server-everything'],
    ['npx.cmd', ['x'], 'x'],
    ['npm', ['exec', '--', '@a/b@latest'], 'b'],
    ['npm', ['start'], 'npm'],
    ['pnpm', ['dlx', 'foo'], 'foo'],
    ['bunx', ['foo@1'], 'foo'],
    ['npx', [], 'npx'],
    ['node', ['/a/b/server.js'], 'server'],
    ['node', ['--import', 'tsx', '-r', 'x', 'server.mjs', 'index.js'], 'server'],
    ['node', ['node_modules/@m/server-everything/dist/index.js', 'stdio'], 'server-everything'],
    ['node', ['index.js'], 'index'],
    ['node', ['-e', 'setInterval(()=>{},1)'], 'node'],
    ['node', [], 'node'],
    ['tsx', ['src/tool.ts'], 'tool'],
    ['deno', ['run', '-A', 'jsr.ts'], 'jsr'],
    ['uvx', ['foo'], 'foo'],
    ['uvx', ['--from', 'git+https://h/x', 'mcp-x'], 'mcp-x'],
    ['uvx', ['mcp-server-git==1.0'], 'mcp-server-git'],
    ['uvx', ['pkg[extra]@1'], 'pkg'],
    ['uv', ['run', '--directory', '/x', 'server.py'], 'server'],
    ['uv', ['--directory', '/x', 'run', 'weather'], 'weather'],
    ['uv', ['tool', 'run', 'foo'], 'foo'],
    ['pipx', ['run', 'foo'], 'foo'],
    ['python', ['-m', 'foo'], 'foo'],
    ['python3.11', ['-u', '-m', 'foo.bar', '--x'], 'foo.bar'],
    ['python3', ['/srv/weather/main.py'], 'weather'],
    ['python3', ['tool.py', '-m', 'x'], 'tool'],
    ['java', ['-Xmx1g', '-jar', '/x/app.jar'], 'app'],
    ['docker', ['run', '-i', '--rm', '-e', 'X=1', 'ghcr.io/a/mcp:1.0'], 'mcp'],
    ['docker', ['run', '-it', '--mount', 'type=bind', '--name=n', 'mcp/fetch@sha256:00'], 'fetch'],
    ['docker', ['compose', '-f', 'x.yml', 'run', '--rm', 'api'], 'api'],
    ['podman', ['exec', '-i', 'box', 'sh'], 'box'],
    ['docker', ['ps'], 'docker'],
    ['sh', ['-c', 'cd /x && exec node /a/server.js'], 'server'],
    ['bash', ['-lc', "npx -y 'my pkg'"], 'my pkg'],
    ['sh', ['./start.sh'], 'start'],
    ['env', ['-u', 'B', 'A=1', 'npx', 'x'], 'x'],
    ['sudo', ['-u', 'me', 'node', 'a.js'], 'a'],
    ['env', [], 'env'],
    ['/opt/My Tool/bin/tool', [], 'tool'],
    ['C:\\Program Files\\thing.exe', [], 'thing'],
    ['./a*b', [], 'a-b'],
    ['///', [], 'tool'],
    ['', [], 'tool'],
    ['...', [], 'tool'],
    ['x'.repeat(100), [], 'x'.repeat(64)],
  ];
  for (const [command, args, name] of table)
    t.equal(nameFromCommand(command, args), name, `${command} ${args.join(' ')}`);
  t.end();
});

t.test('whatever the command, the name is valid', (t) => {
  let seed = 7;
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const pieces = [
    'npx',
    'docker',
    'run',
    '-y',
    '--',
    '/',
    '.',
    ' ',
    '@',
    '\u202E',
    '\n',
    'é',
    'e\u0301',
    '😀',
    '-m',
    'python',
    'sh',
    '-c',
    ';',
    '"',
    "'",
    '=',
    '\\',
    'x',
    '\uD800',
    'env',
    'A=1',
  ];
  const word = (): string =>
    Array.from({ length: 1 + Math.floor(random() * 4) }, () => pieces[Math.floor(random() * pieces.length)]).join('');
  for (let round = 0; round < 5000; round++) {
    const words = Array.from({ length: 1 + Math.floor(random() * 5) }, word);
    const name = nameFromCommand(words[0] ?? '', words.slice(1));
    const parsed = parseToolName(name);
    if (!parsed.ok) t.fail(`${JSON.stringify(words)} gives ${JSON.stringify(name)}`);
  }
  t.end();
});
