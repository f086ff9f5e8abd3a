/**
 * Closes sockets of another process by SOCK_DESTROY (sock_diag(7)), through `ss -K`: the owner's next call on such a
 * socket fails and it can close the handle. Needs CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY.
 */

import { execFile } from 'node:child_process';

export interface DestroyReport {
  readonly closed: number;
  /** Why nothing, or not everything, could be closed. */
  readonly refused: string | null;
}

const AT_ONCE = 100;
const TIMEOUT_MS = 5_000;

/** @param sockets addresses as `ADDRESS:PORT`; only sockets still in CLOSE_WAIT are touched */
export async function destroyStaleSockets(
  sockets: readonly { readonly local: string; readonly remote: string }[],
): Promise<DestroyReport> {
  let closed = 0;
  for (let start = 0; start < sockets.length; start += AT_ONCE) {
    const report = await destroy(sockets.slice(start, start + AT_ONCE));
    closed += report.closed;
    if (report.refused !== null) return { closed, refused: report.refused };
  }
  return { closed, refused: null };
}

function destroy(sockets: readonly { readonly local: string; readonly remote: string }[]): Promise<DestroyReport> {
  const filter = sockets.flatMap(({ local, remote }, index) => [
    ...(index === 0 ? [] : ['or']),
    '(',
    'src',
    local,
    'and',
    'dst',
    remote,
    ')',
  ]);
  return new Promise((resolve) => {
    execFile(
      'ss',
      ['-K', '-H', '-t', '-n', 'state', 'close-wait', '(', ...filter, ')'],
      { timeout: TIMEOUT_MS },
      (error, stdout, stderr) => {
        // ss exits 0 even when the kernel refuses: the refusal stands on stderr.
        const complaint = stderr.trim().split('\n')[0] ?? '';
        const closed = stdout.split('\n').filter((line) => line.trim() !== '').length;
        if (error !== null && 'code' in error && error.code === 'ENOENT')
          resolve({ closed: 0, refused: 'ss (iproute2) is not installed' });
        else if (complaint !== '') resolve({ closed, refused: `ss: ${complaint}` });
        else resolve({ closed, refused: error === null ? null : `ss: ${error.message.split('\n')[0] ?? ''}` });
      },
    );
  });
}
