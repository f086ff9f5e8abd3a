/** Whether the file system of the state directory has room for history: without any, nothing could be launched. */

import { statfsSync } from 'node:fs';
import { formatBytes } from '../../core/format.ts';

export interface Room {
  /** For whoever is not privileged. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** What is left to others. */
const RESERVE = { leastBytes: 64 * 1024 ** 2, share: 0.02, mostBytes: 1024 ** 3 } as const;

/**
 * @param ask of the file system of a folder; may throw
 * @returns why nothing more is written; null: there is room, or it cannot be told
 */
export function lackOfRoom(folder: string, ask: (folder: string) => Room = fileSystemRoom): string | null {
  let room: Room;
  try {
    room = ask(folder);
  } catch {
    return null;
  }
  const reserveBytes = Math.max(RESERVE.leastBytes, Math.min(RESERVE.mostBytes, room.totalBytes * RESERVE.share));
  if (room.freeBytes >= reserveBytes) return null;
  const free = `${formatBytes(room.freeBytes)} of the ${formatBytes(reserveBytes)} that are left to others`;
  return `the file system of the state directory has no more than ${free}`;
}

function fileSystemRoom(folder: string): Room {
  const { bavail, blocks, bsize } = statfsSync(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
