/** Something that holds a file, a thread or a session. */
export interface Closable {
  close(): Promise<void>;
}

/** Closes one after the other, and continues after errors. @throws the error of the last one that failed. */
export async function closeAll([first, ...rest]: readonly Closable[]): Promise<void> {
  if (first === undefined) return;
  try {
    await first.close();
  } finally {
    await closeAll(rest);
  }
}

/** Closes what failed work has opened. @throws the error of the work: what fails at closing after it, such as a full disk, would hide it. */
export async function closeAfter(error: unknown, opened: readonly Closable[]): Promise<never> {
  await closeAll(opened).catch(() => undefined);
  throw error;
}

/** Does work, then closes what it has opened. Where both fail, the error of the work is thrown. */
export async function thenClose<T>(opened: readonly Closable[], work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    return closeAfter(error, opened);
  }
  await closeAll(opened);
  return result;
}
