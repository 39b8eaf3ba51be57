/** A model folder that cannot be read or written; `message` names the file, what was expected and what was found. */
export class ModelFolderError extends Error {
  override readonly name = 'ModelFolderError';
}
