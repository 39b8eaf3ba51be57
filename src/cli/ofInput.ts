import { fileProblem, isFileError } from '../files/fileProblem.js';

/** An input of a command that cannot be opened or read. */
class InputError extends Error {
  override readonly name = 'InputError';
}

/**
 * Opens what a flag or argument names. Where the path is at fault the error names both.
 * @param flag such as `--images`, or an argument as the help has it, such as `<image>`.
 * @param path as it was given; where the error does not name it.
 * @throws InputError for a file or folder that is not there or cannot be read; else what `open` throws.
 */
export async function ofInput<T>(flag: string, path: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (cause) {
    if (isFileError(cause)) throw new InputError(`${flag}: ${path} cannot be read: ${fileProblem(cause)}`, { cause });
    const { cause: inner, message } = cause as Error;
    if (isFileError(inner)) throw new InputError(`${flag}: ${message}`, { cause });
    throw cause;
  }
}
