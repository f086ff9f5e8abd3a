/**
 * Waits for work, but not longer than that. Work that is late goes on; its late failure is dropped.
 * @param keepsAlive whether the process stays for it (withDeadline of scope/ always does)
 * @returns false when the time was over first
 * @throws what the work throws in time
 */
export async function settledWithin(
  work: () => Promise<unknown>,
  withinMs: number,
  keepsAlive: boolean,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), withinMs);
    if (!keepsAlive) timer.unref();
  });
  const done = work().then(() => true);
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
