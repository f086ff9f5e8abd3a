/** Where messages to a client go, and the writing to one that may not read. */

/** A channel that one request's messages, or those that belong to no request, go to. */
export interface Outlet {
  /**
   * @param text one message
   * @returns false when it reaches nobody, now or later
   */
  send(text: string): boolean;
}

/** A socket, or a response of HTTP. */
export interface BoundedTarget {
  readonly writableLength: number;
  readonly destroyed: boolean;
  write(chunk: string): boolean;
  destroy(): unknown;
}

/** `overflow`: more than `maxWaitingBytes` were waiting already, and it was given up. */
export function writeBounded(
  target: BoundedTarget,
  chunk: string,
  maxWaitingBytes: number,
): 'written' | 'gone' | 'overflow' {
  if (target.destroyed) return 'gone';
  if (target.writableLength > maxWaitingBytes) {
    target.destroy();
    return 'overflow';
  }
  target.write(chunk);
  return 'written';
}
