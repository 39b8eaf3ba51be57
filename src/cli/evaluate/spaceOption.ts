import { Option } from 'commander';

/** --space: the vectors of cells that are compared. */
export function spaceOption(): Option {
  return new Option('--space <space>', "vectors to compare: the local projector's or the backbone's")
    .choices(['projector', 'backbone'])
    .default('projector');
}
