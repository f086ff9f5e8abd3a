/** Finds what `exec` would run, so that a wrong command is refused with one clear line before anything is made. */

import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { GovernorError } from '../core/errors.ts';
import { interpreterOf } from './interpreter.ts';

/**
 * As execvp(3): a name with a slash is a path below `cwd`, any other is looked up in PATH.
 * @throws GovernorError command_not_found (exit code 127) or command_not_executable (126)
 */
export function resolveCommand(command: string, cwd: string, path: string | undefined): string {
  if (command === '') throw new GovernorError('command_not_found', 'the command is empty');
  const candidates = command.includes('/')
    ? [isAbsolute(command) ? command : join(cwd, command)]
    : (path ?? '/usr/local/bin:/usr/bin:/bin')
        .split(':')
        .map((folder) => join(folder === '' ? cwd : isAbsolute(folder) ? folder : join(cwd, folder), command));
  let refused: string | null = null;
  let incomplete: string | null = null;
  for (const candidate of candidates) {
    const verdict = judge(candidate);
    if (verdict === 'ok') {
      const interpreter = interpreterOf(candidate);
      if (interpreter === null || judge(resolve(cwd, interpreter)) !== 'absent') return candidate;
      // For the kernel it is as if the file itself were not there.
      incomplete ??= `${candidate}: its interpreter ${interpreter} is missing`;
    } else if (verdict !== 'absent') refused ??= `${candidate}: ${verdict}`;
  }
  if (refused !== null) throw new GovernorError('command_not_executable', `cannot run ${refused}`);
  throw new GovernorError('command_not_found', incomplete ?? `${command}: command not found`);
}

function judge(file: string): 'ok' | 'absent' | 'is a directory' | 'is no regular file' | 'permission denied' {
  try {
    const stats = statSync(file);
    if (stats.isDirectory()) return 'is a directory';
    if (!stats.isFile()) return 'is no regular file';
    accessSync(file, constants.X_OK);
    return 'ok';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG') return 'absent';
    throw error;
  }
}
