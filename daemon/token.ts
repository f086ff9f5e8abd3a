/** The bearer token of the TCP listener: made once, readable by its owner only. */

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GovernorError } from '../lib/core/errors.ts';

export function tokenPath(stateDir: string): string {
  return join(stateDir, 'token');
}

/** 256 bits, base64url. @throws GovernorError state_dir for a file that holds no token */
export function readOrCreateToken(stateDir: string): string {
  const path = tokenPath(stateDir);
  const token = readOrCreate(path);
  if (!/^[\x21-\x7e]{16,512}$/.test(token)) {
    throw new GovernorError(
      'state_dir',
      `${path} holds no token (16 to 512 printable characters); delete it and a new one is made`,
    );
  }
  return token;
}

function readOrCreate(path: string): string {
  try {
    if (!existsSync(path))
      writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
    chmodSync(path, 0o600);
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new GovernorError('state_dir', `the token file ${path} cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
