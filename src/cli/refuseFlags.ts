import type { Command } from 'commander';
import { VicreglError } from '../client/vicreglError.js';

/** `maxDistance` -> `--max-distance`. */
const flagOf = (name: string): string => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/**
 * Refuses flags that would be ignored. Defaults and environment variables may be there: nobody has asked for them here.
 * @param names of options, such as `maxDistance`
 * @param reason follows the flags, as in `--max-distance: ignored with --by features; remove, or use --by location`
 * @throws VicreglError `INVALID_ARGUMENT` naming those that were given
 */
export function refuseFlags(command: Command, names: readonly string[], reason: string): void {
  const given = names.filter((name) => command.getOptionValueSource(name) === 'cli').map(flagOf);
  if (given.length > 0) throw new VicreglError('INVALID_ARGUMENT', `${given.join(', ')}: ${reason}`);
}
