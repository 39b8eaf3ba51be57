/** A checkpoint file that cannot be read; `message` names the file, what is wrong with it and the way out. */
export class CheckpointFileError extends Error {
  override readonly name = 'CheckpointFileError';
}
