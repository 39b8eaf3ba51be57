/** What a run records of itself (its log, TensorBoard's file) cannot be written or read; the checkpoints are not touched. */
export class RunRecordError extends Error {
  override readonly name = 'RunRecordError';
}

/** Writes to a file of records. @throws RunRecordError naming the file, and how to go on; that of records that are read for it as it is */
export async function writeRecord<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    if (cause instanceof RunRecordError) throw cause;
    const { message } = cause as Error;
    throw new RunRecordError(`${path} cannot be written: ${message}; make room and go on with --resume`, { cause });
  }
}
