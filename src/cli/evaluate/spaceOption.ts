import { Option } from 'commander';

/**
 * --space: the vectors of cells that are compared. The local projector has the name of the service's space, `localProjector`; the value
 * `projector` is that of results and of earlier commands.
 */
export function spaceOption(): Option {
  const option = new Option('--space <space>', "vectors to compare: the local projector's or the backbone's");
  option.choices(['localProjector', 'backbone', 'projector']).default('projector', 'localProjector');
  const choose = option.parseArg!;
  return option.argParser((text, previous) => {
    const chosen = choose(text, previous);
    return chosen === 'localProjector' ? 'projector' : chosen;
  });
}
