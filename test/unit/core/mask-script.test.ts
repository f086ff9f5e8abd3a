import t from 'tap';
import { maskArguments } from '../../../lib/core/mask.ts';
import { maskScript } from '../../../lib/core/mask-script.ts';

t.test('what is a secret among words is one in a script', (t) => {
  for (const [given, wanted] of [
    ['FOO=s3 exec node x', 'FOO=••• exec node x'],
    ['cd /srv && A=s3 B="s 3" node x; echo $A', 'cd /srv && A=••• B=••• node x; echo $A'],
    ['export "A=s 3";node x', 'export "A=•••";node x'],
    ["exec docker run -e 'A=s 3' -eB=s3 --env=C=s3 img", "exec docker run -e 'A=•••' -eB=••• --env=C=••• img"],
    ['env -u X A=s3 node', 'env -u X A=••• node'],
    ['curl -u me:s3 https://h/', 'curl -u me:••• https://h/'],
    ['(A=s3 x)|y', '(A=••• x)|y'],
    ['A=s\\ 3 x', 'A=••• x'],
    ["bash -c 'A=s3 x'", "bash -c 'A=•••'"],
    ["A='s3", 'A=•••'],
    ['echo \'a\'"b"; node "my server.js" --port=80 -v', 'echo \'a\'"b"; node "my server.js" --port=80 -v'],
    ['A= node', 'A= node'],
    ['', ''],
    ['"', '"'],
    ['\\', '\\'],
  ] as const)
    t.equal(maskScript(given), wanted, given);
  t.end();
});

t.test('which words are scripts', (t) => {
  const script = 'A=s3 x';
  for (const argv of [
    ['sh', '-c', script],
    ['/bin/bash', '-lc', script],
    ['nice', '-n', '5', 'dash', '-e', '-c', script],
  ])
    t.equal(maskArguments(argv).at(-1), 'A=••• x', argv.join(' '));
  t.same(maskArguments(['node', '-c', 'a=b c']), ['node', '-c', 'a=b c'], 'of no shell');
  t.same(maskArguments(['sh', '-c', 'A=s3 node --api-key s4 https://u:s5@h/']), [
    'sh',
    '-c',
    'A=••• node --api-key ••• https://•••@h/',
  ]);
  t.end();
});
