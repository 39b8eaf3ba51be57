/** Something that holds a file, a thread or a session. */
export interface Closable {
  close(): Promise<void>;
}

/** Closes one after the other; one that fails does not leave the rest open. @throws what the last failing one threw. */
export async function closeAll([first, ...rest]: readonly Closable[]): Promise<void> {
  if (first === undefined) return;
  try {
    await first.close();
  } finally {
    await closeAll(rest);
  }
}
