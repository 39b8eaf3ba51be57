/**
 * Codes of extraction errors:
 * - `bad_option`: an option, or a line of the file of boxes, is invalid
 * - `differs`: the output folder was begun with other settings
 * - `in_use`: another process writes the same shard
 * - `not_resumed`: the output folder has finished shards, and --resume is absent
 * - `too_many_failures`: more images failed than --max-failures allows
 * - `stopped`: a signal or the service ended the work before it was done
 */
export type ExtractErrorCode = 'bad_option' | 'differs' | 'in_use' | 'not_resumed' | 'too_many_failures' | 'stopped';

/** The error of this layer; `message` describes the problem and how to fix it. */
export class ExtractError extends Error {
  override readonly name = 'ExtractError';
  readonly code: ExtractErrorCode;

  constructor(code: ExtractErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
