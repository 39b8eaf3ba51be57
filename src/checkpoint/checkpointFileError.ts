/** A checkpoint file that cannot be read; `message` names the file, the problem and how to fix it. */
export class CheckpointFileError extends Error {
  override readonly name = 'CheckpointFileError';
}
