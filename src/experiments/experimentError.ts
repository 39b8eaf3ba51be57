/** An experiment's file or folder that cannot be used; the message names the file, the line or key, and the way out. */
export class ExperimentError extends Error {
  override readonly name = 'ExperimentError';
}
