import { fileProblem, isFileError } from '../files/fileProblem.js';

/** An input of a command that cannot be opened or read. */
class InputError extends Error {
  override readonly name = 'InputError';
}

/**
 * Opens the input that a flag or argument names. If the path is the problem, the error names both.
 * @param flag such as `--images`, or an argument as in the help, such as `<image>`.
 * @param path as it was given, used if the error does not contain it.
 * @throws InputError for a file or folder that does not exist or cannot be read; else what `open` throws.
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
