import { stat } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Cell, cellName, type Shard, selectCells } from '../../experiments/cells.js';
import { createStepsEstimate, type StepsEstimate } from '../../experiments/estimateSteps.js';
import { type Experiment, loadExperiment } from '../../experiments/experiment.js';
import { ExperimentError } from '../../experiments/experimentError.js';
import { gatherExperiment } from '../../experiments/report/gather.js';
import { writeExperimentReport } from '../../experiments/report/writeReport.js';
import { trainedCells } from '../../experiments/reuseCell.js';
import { runExperiment } from '../../experiments/runExperiment.js';
import { checkOutputFolder } from '../../files/output.js';
import { recipePath } from '../recipes.js';
import { shellWord } from '../shellWord.js';
import { stopOnSignals } from '../stopOnSignals.js';
import { table } from '../table.js';
import { evaluationCommand } from './evaluationCommand.js';
import { startCommand } from './startCommand.js';

/** Exit code of `experiments run` if cells have failed. */
const CELLS_FAILED = 3;

interface CellFlags {
  readonly shard?: Shard;
  readonly only?: readonly string[];
}

interface RunFlags extends CellFlags {
  readonly out: string;
  readonly device: 'cpu' | 'cuda';
  readonly retryFailed: boolean;
  readonly restartChanged: boolean;
  readonly reuse: readonly string[];
}

interface ReportFlags {
  readonly out?: string;
  readonly floors?: string;
  readonly baseline?: string;
}

function shardOf(text: string): Shard {
  const [, index, count] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (index === undefined || count === undefined || index >= count) {
    throw new InvalidArgumentError('It must be i/n with i from 0 to n - 1, such as 0/2 and 1/2.');
  }
  return { index, count };
}

function addCellFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--shard <i/n>', 'every n-th cell, beginning with the i-th (from 0): one part of n').argParser(
        shardOf,
      ),
    )
    .addOption(
      new Option('--only <variants>', 'names of variants, separated by commas (default: all)').argParser((text) =>
        text.split(',').map((name) => name.trim()),
      ),
    );
}

const load = (file: string): Promise<Experiment> =>
  loadExperiment(file, { recipePath, evaluationCommand, variables: process.env });

/** Inputs without patterns, such as shards, can be looked for before anything runs. */
async function checkInputs({ path, evaluations }: Experiment): Promise<void> {
  for (const { name, inputs } of evaluations) {
    for (const input of inputs) {
      if (/[{}*?[\]]/.test(input)) continue;
      const found = await stat(input).catch(() => undefined);
      if (found === undefined) {
        throw new ExperimentError(`${path}: evaluations.${name}: ${input} does not exist; mend the path`);
      }
    }
  }
}

async function run(file: string, flags: RunFlags): Promise<void> {
  const { out, device, retryFailed, restartChanged } = flags;
  const experiment = await load(file);
  const cells = selectCells(experiment, flags);
  await checkOutputFolder('--out', out);
  await checkInputs(experiment);
  const reuse = await trainedCells(flags.reuse);
  const estimate = createStepsEstimate();
  for (const { variant, seed } of cells) await estimate(variant.configOf(seed));
  const stop = new AbortController();
  const ignoreSignals = stopOnSignals(() => {
    console.error('stopping: training saves a checkpoint after its step');
    stop.abort();
  });
  try {
    const { done, failed, busy, stopped } = await runExperiment(cells, {
      ...{ experiment, out, device, retryFailed, restartChanged, reuse, startCommand },
      signal: stop.signal,
      say: (line) => console.error(line),
    });
    const parts = [
      `${done} of ${cells.length} cells done`,
      ...(failed.length > 0 ? [`${failed.length} failed`] : []),
      ...(busy.length > 0 ? [`${busy.length} in other processes`] : []),
      ...(stopped > 0 ? [`${stopped} left`] : []),
    ];
    console.log(parts.join(', '));
    for (const { cell, reasons } of failed) for (const reason of reasons) console.log(`  ${cell}: ${reason}`);
    if (failed.length > 0) {
      console.log(`each cell's output.log has more; try them again with --retry-failed`);
      process.exitCode = CELLS_FAILED;
    }
    console.log(
      stopped > 0
        ? 'stopped early; continue with the same command'
        : `report: npx vicregl experiments report ${shellWord(out)}`,
    );
  } finally {
    ignoreSignals();
  }
}

/** Steps of a cell as text; what cannot be opened does not keep a list from being printed. */
async function stepsText(
  { variant, seed }: Cell,
  estimate: (config: ReturnType<Cell['variant']['configOf']>) => Promise<StepsEstimate>,
  problems: Set<string>,
): Promise<string> {
  try {
    return String((await estimate(variant.configOf(seed))).steps);
  } catch (error) {
    problems.add((error as Error).message);
    return '?';
  }
}

async function list(file: string, flags: CellFlags): Promise<void> {
  const experiment = await load(file);
  const cells = selectCells(experiment, flags);
  const { name, recipe, variants, seeds, evaluations } = experiment;
  console.log(`${name}: ${variants.length} variants x ${seeds.length} seeds, based on ${recipe}`);
  for (const evaluation of evaluations) {
    const args = evaluation.argumentsIn({ cell: 'CELL', out: 'DIR', seed: seeds[0]! });
    console.log(
      `evaluation ${evaluation.name}: vicregl evaluate ${[evaluation.kind, ...args].map(shellWord).join(' ')}`,
    );
  }
  const estimate = createStepsEstimate();
  const problems = new Set<string>();
  const rows: string[][] = [];
  for (const cell of cells) {
    const { changes, baseline, name: variant } = cell.variant;
    const compared = baseline === undefined || baseline === variant ? '' : baseline;
    rows.push([cellName(cell), await stepsText(cell, estimate, problems), compared, changes.join(' ')]);
  }
  console.log(table([['cell', 'steps', 'compared with', 'settings'], ...rows]));
  for (const problem of problems) console.log(`steps are unknown: ${problem}`);
}

/** `vicregl experiments run`, `report` and `list`. */
export function registerExperiments(program: Command): void {
  const experiments = program
    .command('experiments')
    .description('Train and evaluate variants with several seeds, and compare them.');
  addCellFlags(
    experiments
      .command('run')
      .description(
        'Train and evaluate each variant with each seed. Run it again to continue: finished cells are skipped. Exit code 3 if cells have failed.',
      )
      .argument('<file>', 'YAML file of the experiment (see experiments/)')
      .requiredOption('--out <dir>', 'folder of the results; a folder for each variant and seed')
      .addOption(
        new Option('--device <device>', 'device for the training step').choices(['cpu', 'cuda']).default('cpu'),
      )
      .option('--retry-failed', 'try failed cells again', false)
      .option('--restart-changed', 'run what has changed in the file again, from the beginning', false)
      .option(
        '--reuse <dir...>',
        'folders of other experiments: cells with the same training settings and seed are copied, with the results of the same evaluations',
        [],
      ),
  ).action(run);
  addCellFlags(
    experiments
      .command('list')
      .description('Print the cells with their steps and settings. Nothing is run.')
      .argument('<file>', 'YAML file of the experiment'),
  ).action(list);
  experiments
    .command('report')
    .description('Compare the variants: tables, differences to the baseline, and plots. Several folders are merged.')
    .argument('<dir...>', 'folders of experiments run')
    .option('--out <dir>', 'folder of the report (default: report in the first folder)')
    .option(
      '--floors <dir>',
      'folder of an experiment that measured what all are compared with, such as random weights: its rows stand in brackets',
    )
    .option('--baseline <variant>', "compare all others with this variant, in place of the file's baseline")
    .action(async (folders: string[], { out = `${folders[0]}/report`, ...options }: ReportFlags) => {
      await checkOutputFolder('--out', out);
      process.stdout.write(await writeExperimentReport(await gatherExperiment(folders, options), out));
    });
}
