import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { svgToPng } from '../image/svg.js';
import { serveRuns } from '../runsView/runsServer.js';
import { configDifferences, listRuns, type RunReport, readRuns } from '../train/compareRuns.js';
import { ConfigError } from '../train/config.js';
import { drawComparison } from '../train/curves.js';
import { COMPARED_TERMS } from '../train/loggedTerms.js';
import { ofInput } from './ofInput.js';
import { printJson } from './printJson.js';
import { stopOnSignals } from './stopOnSignals.js';
import { table } from './table.js';
import { wholeNumber } from './wholeNumber.js';

interface CompareFlags {
  readonly terms?: readonly string[];
  readonly out: string;
}

/** Names that the runs have logged. @throws ConfigError for a requested name that no run has logged. */
function loggedTerms(runs: readonly RunReport[], asked: readonly string[] | undefined): string[] {
  const logged = new Set(runs.flatMap(({ points }) => points.flatMap(({ means }) => Object.keys(means))));
  const missing = asked?.find((term) => !logged.has(term));
  if (missing !== undefined) {
    throw new ConfigError(`no run has logged "${missing}"; logged terms: ${[...logged].sort().join(', ')}`);
  }
  return (asked ?? COMPARED_TERMS).filter((term) => logged.has(term));
}

const figure = (value: number | undefined) =>
  value === undefined || Number.isNaN(value) ? '' : String(Number(value.toPrecision(4)));

/** One row per value and one column per run. */
function compared(runs: readonly RunReport[], terms: readonly string[]): string {
  return table([
    ['run', ...runs.map(({ name }) => name)],
    ['steps', ...runs.map(({ summary }) => String(summary.steps))],
    ['images/s', ...runs.map(({ imagesPerSecond }) => figure(imagesPerSecond))],
    ...terms.map((term) => [term, ...runs.map(({ last }) => figure(last[term]))]),
    ...configDifferences(runs.map(({ config }) => config)).map(({ key, values }) => [key, ...values]),
  ]);
}

/** `vicregl runs list`, `show` and `compare`. */
export function registerRuns(program: Command): void {
  const runs = program.command('runs').description('Inspect and compare training runs, finished or not.');
  runs
    .command('list')
    .description('List the runs in a folder with steps, total loss and best checkpoint.')
    .argument('[dir]', 'folder of run folders', 'runs')
    .action(async (dir: string) => {
      const { runs: reports, unreadable } = await ofInput('the folder of runs', dir, () => listRuns(dir));
      console.log(
        table([
          ['run', 'backbone', 'steps', 'images/s', 'loss', 'best checkpoint'],
          ...reports.map(({ name, config, summary, imagesPerSecond, best }) => [
            name,
            config.model.architecture,
            String(summary.steps),
            figure(imagesPerSecond),
            figure(summary.lastTerms['l']),
            best && `step ${best.step} (${best.metric} ${figure(best.value)})`,
          ]),
        ]),
      );
      for (const { folder, problem } of unreadable) console.log(`${folder}  not readable: ${problem}`);
    });
  runs
    .command('show')
    .description('Print steps, last terms (mean of 50 steps), speed and best checkpoint of a run as JSON.')
    .argument('<run>', 'run folder')
    .action(async (run: string) => {
      const [report] = await readRuns([run]);
      const { name, summary, imagesPerSecond, best } = report!;
      printJson({ name, ...summary, imagesPerSecond, ...(best && { best }) });
    });
  runs
    .command('compare')
    .description(
      'Plot the curves of several runs, and print their last terms (means of 50 steps) and the configuration keys that differ.',
    )
    .argument('<run...>', 'run folders')
    .addOption(
      new Option(
        '--terms <names>',
        'logged terms, such as l,inv_l (default: all losses, monitors and accuracies)',
      ).argParser((text) => text.split(',').map((term) => term.trim())),
    )
    .addOption(
      new Option('--out <file>', 'output picture, .svg or .png').default('compare.svg').argParser((file) => {
        if (!/\.(svg|png)$/.test(file)) throw new InvalidArgumentError('It must end in .svg or .png.');
        return file;
      }),
    )
    .action(async (folders: string[], { terms: asked, out }: CompareFlags) => {
      await checkOutputFile('--out', out);
      const reports = await readRuns(folders);
      const terms = loggedTerms(reports, asked);
      console.log(compared(reports, terms));
      const svg = await drawComparison(reports, terms);
      const picture = out.endsWith('.png') ? await svgToPng(svg, 2) : svg;
      await writeOutputFile('--out', out, picture);
      console.log(`curves: ${out}`);
    });
  runs
    .command('view')
    .description(
      'Serve a page that draws runs over each other while they train: curves, collapse monitors, crops with their matches. On loopback, until Ctrl-C.',
    )
    .argument('<run...>', 'run folders')
    .option('--port <port>', 'port on 127.0.0.1; 0 selects a free one', wholeNumber(0), 6007)
    .action(async (folders: string[], { port }: { readonly port: number }) => {
      const server = await serveRuns(folders, port);
      console.log(`runs: ${server.url} (Ctrl-C stops)`);
      await new Promise<void>((stopped) => {
        const off = stopOnSignals(() => {
          off();
          stopped();
        });
      });
      await server.close();
    });
}
