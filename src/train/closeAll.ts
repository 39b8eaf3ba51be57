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

/**
 * Does work, then closes what it has opened. Where both fail, the error of the work is thrown: what fails at closing after it, such as a
 * disk that is full, would hide it.
 */
export async function thenClose<T>(opened: readonly Closable[], work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await closeAll(opened).catch(() => undefined);
    throw error;
  }
  await closeAll(opened);
  return result;
}
