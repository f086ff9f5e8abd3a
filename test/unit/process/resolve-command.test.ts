import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { GovernorError } from '../../../lib/core/errors.ts';
import { interpreterOf } from '../../../lib/process/interpreter.ts';
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

t.test('what a file is run by has to be there', async (t) => {
  const interpreter = '/no/such/interpreter';
  const directory = t.testdir({
    bad: `#!${interpreter} -x\necho\n`,
    spaced: `#! \t${interpreter}\r\n`,
    relative: '#!here\n',
    here: '',
    plain: 'echo',
    nothing: '#!\n',
    empty: '',
    later: { bad: '#!/bin/sh\n' },
  });
  for (const name of ['bad', 'spaced', 'relative', 'here', 'plain', 'nothing', 'empty', 'later/bad'])
    chmodSync(join(directory, name), 0o755);
  const at = (name: string): string => join(directory, name);
  const refusal = (command: string, path?: string): string => {
    try {
      return resolveCommand(command, directory, path);
    } catch (error) {
      return error instanceof GovernorError ? `${error.code}: ${error.message}` : String(error);
    }
  };
  t.equal(refusal('./bad'), `command_not_found: ${at('bad')}: its interpreter ${interpreter} is missing`);
  t.match(refusal('./spaced'), /command_not_found: .*its interpreter \/no\/such\/interpreter\r? is missing/);
  t.equal(refusal('bad', directory), `command_not_found: ${at('bad')}: its interpreter ${interpreter} is missing`);
  t.equal(refusal('bad', `${directory}:${at('later')}`), at('later/bad'), 'execvp goes on to the next one');
  for (const name of ['relative', 'plain', 'nothing', 'empty']) t.equal(refusal(`./${name}`), at(name));
  t.equal(refusal(process.execPath), process.execPath, 'the loader of a program is there');
});

t.test('a program whose loader is missing', { skip: process.platform !== 'linux' && 'ELF is of Linux' }, async (t) => {
  const directory = t.testdir({});
  const program = readFileSync('/bin/sh');
  const loader = interpreterOf('/bin/sh');
  if (loader === null) throw new Error('/bin/sh has no loader: this test needs another program');
  const at = program.indexOf(`${loader}\0`);
  program.write('/X', at);
  const file = join(directory, 'foreign');
  writeFileSync(file, program, { mode: 0o755 });
  t.throws(() => resolveCommand(file, directory, undefined), {
    code: 'command_not_found',
    message: `${file}: its interpreter /X${loader.slice(2)} is missing`,
  });
});
