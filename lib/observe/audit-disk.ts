/** What the writer of the audit log needs from the disk, small enough to be replaced by one that fails. */

import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';

/** An open log file; everything rejects with the file system's error. */
export interface AuditFile {
  /** Appends all bytes; after a failure some of them may be in the file. */
  append(bytes: Buffer): Promise<void>;
  /** Cuts the file to `length` bytes. */
  truncate(length: number): Promise<void>;
  /** fdatasync(2) */
  sync(): Promise<void>;
  /** `links` is 0 once the file was deleted. */
  stat(): Promise<{ readonly size: number; readonly links: number }>;
  close(): Promise<void>;
}

export interface AuditDisk {
  /** Opens for appending, never through a symbolic link; creates with mode 0600. */
  open(path: string): Promise<AuditFile>;
  remove(path: string): Promise<void>;
}

export const NODE_DISK: AuditDisk = {
  async open(path) {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
    const handle = await open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    return {
      append: (bytes) => handle.appendFile(bytes),
      truncate: (length) => handle.truncate(length),
      sync: () => handle.datasync(),
      async stat() {
        const { size, nlink } = await handle.stat();
        return { size, links: nlink };
      },
      close: () => handle.close(),
    };
  },
  remove: (path) => unlink(path),
};
