/**
 * Waits for work, but not longer than that, by a timer that keeps no process alive (withDeadline of scope/ does). Work
 * that is late goes on; its late failure is dropped.
 * @returns false when the time was over first
 * @throws what the work throws in time
 */
export async function settledWithin(work: () => Promise<unknown>, withinMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), withinMs);
    timer.unref();
  });
  const done = work().then(() => true);
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
