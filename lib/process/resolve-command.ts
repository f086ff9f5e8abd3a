/** Finds what `exec` would run, so that a wrong command is refused with one clear line before anything is made. */

import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { GovernorError } from '../core/errors.ts';

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
  for (const candidate of candidates) {
    const verdict = judge(candidate);
    if (verdict === 'ok') return candidate;
    if (verdict !== 'absent') refused ??= `${candidate}: ${verdict}`;
  }
  if (refused !== null) throw new GovernorError('command_not_executable', `cannot run ${refused}`);
  throw new GovernorError('command_not_found', `${command}: command not found`);
}

function judge(file: string): 'ok' | 'absent' | 'is a directory' | 'permission denied' {
  try {
    if (statSync(file).isDirectory()) return 'is a directory';
    accessSync(file, constants.X_OK);
    return 'ok';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG') return 'absent';
    throw error;
  }
}
