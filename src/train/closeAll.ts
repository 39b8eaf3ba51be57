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
