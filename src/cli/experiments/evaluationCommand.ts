import { Command, CommanderError, type Option } from 'commander';
import type { EvaluationCommand } from '../../experiments/experiment.js';
import { ExperimentError } from '../../experiments/experimentError.js';
import { camelCase } from '../../experiments/flagNames.js';
import { didYouMean } from '../../train/configKeys.js';
import { registerEvaluate } from '../evaluate/evaluate.js';

/** Flags of `vicregl evaluate`, checked against its own definition before anything runs. */

/** Flags that cells decide. */
const OWN: Readonly<Record<string, string>> = {
  run: 'each cell evaluates its own run',
  model: 'each cell evaluates its own run',
  checkpoint: "each cell evaluates its run's last checkpoint",
  out: 'results stand in the folders of the cells',
};

function evaluateCommand(): Command {
  const program = new Command();
  registerEvaluate(program);
  return program.commands[0]!;
}

const nameOf = (option: Option): string => option.long!.replace(/^--/, '');

/** A flag's value as arguments: true is the flag alone, false leaves it out, a list repeats it. */
function argumentsOf(option: Option, value: unknown, where: string): string[] {
  const flag = option.long!;
  const takesValue = option.required || option.optional;
  if (Array.isArray(value)) {
    if (option.variadic) return [flag, ...value.map(String)];
    return value.flatMap((each) => argumentsOf(option, each, where));
  }
  if (!takesValue) {
    if (typeof value !== 'boolean') {
      throw new ExperimentError(`${where}: ${JSON.stringify(value)} is not true or false, and ${flag} takes no value`);
    }
    return value ? [flag] : [];
  }
  if (typeof value !== 'string' && typeof value !== 'number') {
    throw new ExperimentError(
      `${where}: ${JSON.stringify(value)} is not a text or number; ${flag}: ${option.description}`,
    );
  }
  // With an equals sign a value may begin with a hyphen.
  return [`${flag}=${value}`];
}

/** The error of commander, with the flag of the command line in place. */
const messageOf = (error: CommanderError): string => error.message.replace(/^error: /, '').replace(/\n\(.*\)$/s, '');

/** See `EvaluationCommand`. */
export const evaluationCommand: EvaluationCommand = (kind, flags, where) => {
  const evaluate = evaluateCommand();
  const command = evaluate.commands.find((each) => each.name() === kind);
  if (command === undefined) {
    const kinds = evaluate.commands.map((each) => each.name());
    throw new ExperimentError(`${where}: there is no evaluation "${kind}"; ${didYouMean(kind, kinds)}`);
  }
  // By the flag itself: commander's name of --no-flip is `flip`, whose value is the other way round.
  const options = new Map(command.options.map((option) => [camelCase(nameOf(option)), option]));
  const spelt = new Map<Option, string>();
  const given = Object.entries(flags).map(([key, value]) => {
    const at = `${where}.${key}`;
    const option = options.get(camelCase(key));
    if (option === undefined) {
      const negated = command.options.find((each) => each.negate && each.attributeName() === camelCase(key));
      const names = command.options.map(nameOf).filter((name) => !Object.hasOwn(OWN, name));
      const advice = negated ? `write ${nameOf(negated)}: true to turn it off` : didYouMean(key, names);
      throw new ExperimentError(`${at}: evaluate ${kind} has no flag --${key}; ${advice}`);
    }
    const other = spelt.get(option);
    if (other !== undefined) throw new ExperimentError(`${at}: ${option.long} is also given as ${other}; remove one`);
    spelt.set(option, key);
    const own = OWN[nameOf(option)];
    if (own !== undefined) throw new ExperimentError(`${at}: remove it; ${own}`);
    return { option, args: argumentsOf(option, value, at) };
  });
  const args = given.flatMap((each) => each.args);
  command
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, outputError: () => undefined })
    .action(() => undefined);
  try {
    command.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new ExperimentError(`${where}: ${messageOf(error)}`, { cause: error });
  }
  return args;
};
