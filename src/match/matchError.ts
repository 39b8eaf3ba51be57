/** Input that cannot be matched, or an option out of its range; `message` says which and the way out. */
export class MatchError extends Error {
  override readonly name = 'MatchError';
}
