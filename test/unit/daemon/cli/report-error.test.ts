import t from 'tap';
import { reportError } from '../../../../daemon/cli/report-error.ts';
import { formatProblem, GovernorError } from '../../../../lib/core/errors.ts';

function reported(error: unknown, json = false): string {
  let text = '';
  const code = reportError(error, { write: (part) => (text += part) }, json);
  return `${code} ${text}`;
}

const size = { where: { file: 'l.yaml', line: 3, column: 5 }, message: 'memory: 5 has no unit', hint: 'write 5MiB' };
const share = { where: { file: 'l.yaml', line: 4, column: 5 }, message: 'cpu: 5 has no unit', hint: 'write 5%' };

t.test('everything is said once', async (t) => {
  const error = (message: string, ...problems: (typeof size)[]): GovernorError =>
    new GovernorError('invalid_config', message, { problems });
  t.equal(
    reported(error(formatProblem(size), size)),
    '1 governor: l.yaml:3:5: memory: 5 has no unit (write 5MiB)\n',
    'with its hint',
  );
  t.equal(
    reported(error([size, share].map(formatProblem).join('\n'), size, share)),
    '1 governor: l.yaml:3:5: memory: 5 has no unit (write 5MiB)\n  l.yaml:4:5: cpu: 5 has no unit (write 5%)\n',
    'a line each',
  );
  t.equal(reported(error(size.message, size)), '1 governor: memory: 5 has no unit\n  write 5MiB\n', 'a hint is added');
  t.equal(
    reported(error('The limits are not valid', size, share)),
    '1 governor: The limits are not valid\n  l.yaml:3:5: memory: 5 has no unit (write 5MiB)\n  l.yaml:4:5: cpu: 5 has no unit (write 5%)\n',
  );
});

t.test('as JSON it is the document of the API', async (t) => {
  const text = reported(new GovernorError('invalid_config', 'wrong', { problems: [size] }), true);
  t.same(JSON.parse(text.slice(2)), {
    type: '/docs/errors#invalid_config',
    title: 'The configuration is not valid',
    status: 422,
    detail: 'wrong',
    code: 'invalid_config',
    problems: [{ message: size.message, hint: 'write 5MiB', file: 'l.yaml', line: 3, column: 5 }],
  });
  const document = '{\n  "code": "unknown_tool"\n}';
  t.equal(
    reported(new GovernorError('unknown_tool', 'x', { data: { problem: document } }), true),
    '1 {"code":"unknown_tool"}\n',
    "the daemon's own passes",
  );
});
