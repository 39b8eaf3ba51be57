import { InvalidArgumentError, Option } from 'commander';
import type { CheckpointChoice } from '../train/checkpoint.js';

function parse(text: string): CheckpointChoice {
  if (text === 'latest' || text === 'best') return text;
  const step = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(step)) {
    throw new InvalidArgumentError('It must be latest, best or a step number.');
  }
  return step;
}

/** `--checkpoint latest|best|STEP`, without a default. */
export function checkpointOption(description: string): Option {
  return new Option('--checkpoint <which>', description).argParser(parse);
}
