/** A configuration of the service that cannot be read or cannot work; lists every problem with its key and source. */
export class ServeConfigError extends Error {
  override readonly name = 'ServeConfigError';

  /** @param problems one line each */
  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(
      problems.length === 1
        ? problems[0]
        : `the configuration has ${problems.length} faults:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
      options,
    );
  }
}
