import t from 'tap';
import {
  answerDie,
  answerProblem,
  answerGo,
  environmentText,
  needsEnvironmentFile,
  openFileChange,
} from '../../../lib/process/launcher-answer.ts';

t.test('instructions come in the order in which they must be carried out', async (t) => {
  t.same(
    answerGo({
      skip: 3,
      variables: { TMPDIR: '/tmp/a b', GOVERNOR_RUN: 'x' },
      openFiles: { soft: 100, hard: 150 },
      environmentFile: '/run/env',
      prefix: ['unshare', '--pid', '--'],
      notices: ['hello'],
    }),
    [
      'skip 3',
      'set TMPDIR=/tmp/a b',
      'set GOVERNOR_RUN=x',
      'soft 100',
      'hard 150',
      'environment /run/env',
      'say hello',
      'prefix --',
      'prefix --pid',
      'prefix unshare',
      'go',
    ],
  );
  t.same(answerDie(127, 'x: command not found'), ['die 127 x: command not found']);
  t.same(answerProblem(125, '{"code":"internal"}'), ['problem 125 {"code":"internal"}']);
});

t.test('open files are lowered only, and soft only where it would lie above hard', async (t) => {
  t.same(openFileChange({ soft: 1024, hard: 4096 }, 1536), { soft: null, hard: 1536 });
  t.same(openFileChange({ soft: 4096, hard: 4096 }, 1536), { soft: 1536, hard: 1536 });
  t.same(openFileChange({ soft: Infinity, hard: Infinity }, 1536), { soft: 1536, hard: 1536 });
  t.same(openFileChange({ soft: 100, hard: 200 }, 1536), { soft: null, hard: null }, 'never raised');
  t.same(openFileChange({ soft: 100, hard: 200 }, null), { soft: null, hard: null });
  t.same(openFileChange(null, 5), { soft: null, hard: null });
});

t.test('an environment that a shell would lose part of is noticed and kept whole', async (t) => {
  t.notOk(needsEnvironmentFile(['A=1', '_x=2', 'PATH=/bin', 'EMPTY=']));
  t.ok(needsEnvironmentFile(['A=1', 'my.name=2']));
  t.ok(needsEnvironmentFile(['BASH_FUNC_f%%=() { :; }']));
  t.ok(needsEnvironmentFile(['npm_config_//host/:_auth=x']));
  t.notOk(needsEnvironmentFile(['no equals sign']));
  t.equal(environmentText(['A=1', 'TMPDIR=/old', 'x.y=a=b'], { TMPDIR: '/new' }), 'A=1\0x.y=a=b\0TMPDIR=/new');
});
