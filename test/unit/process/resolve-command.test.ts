import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { GovernorError } from '../../../lib/core/errors.ts';
import { resolveCommand } from '../../../lib/process/resolve-command.ts';

t.test('as execvp looks commands up', async (t) => {
  const directory = t.testdir({
    bin: { tool: '#!/bin/sh\n', plain: 'text', folder: {} },
    other: { tool: '#!/bin/sh\n' },
  });
  chmodSync(join(directory, 'bin/tool'), 0o755);
  chmodSync(join(directory, 'other/tool'), 0o755);
  const path = `${join(directory, 'bin')}:${join(directory, 'other')}`;
  const refusal = (command: string): string => {
    try {
      return resolveCommand(command, directory, path);
    } catch (error) {
      return error instanceof GovernorError ? `${error.code}: ${error.message}` : String(error);
    }
  };
  t.equal(refusal('tool'), join(directory, 'bin/tool'), 'the first of PATH');
  t.equal(refusal('./bin/tool'), join(directory, './bin/tool'), 'a slash makes it a path');
  t.equal(refusal(join(directory, 'other/tool')), join(directory, 'other/tool'));
  t.equal(refusal('absent'), 'command_not_found: absent: command not found');
  t.equal(refusal('./absent'), 'command_not_found: ./absent: command not found');
  t.equal(refusal(''), 'command_not_found: the command is empty');
  t.equal(
    refusal('./bin/folder'),
    `command_not_executable: cannot run ${join(directory, 'bin/folder')}: is a directory`,
  );
  t.equal(
    refusal('./bin/plain'),
    `command_not_executable: cannot run ${join(directory, 'bin/plain')}: permission denied`,
  );
  t.equal(
    refusal('plain'),
    `command_not_executable: cannot run ${join(directory, 'bin/plain')}: permission denied`,
    'found in PATH, not executable',
  );
  t.equal(refusal('x'.repeat(5000)), `command_not_found: ${'x'.repeat(5000)}: command not found`);
});
