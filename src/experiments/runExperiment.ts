import { makeFolder } from '../files/output.js';
import { readRecord } from './cellRecord.js';
import { type Cell, cellFolder, cellName, selectCells } from './cells.js';
import { changesOf } from './changes.js';
import { writeDefinition } from './definition.js';
import { ExperimentError } from './experimentError.js';
import { type CellContext, failuresOf, runCell, secondsOf } from './runCell.js';

/** What a run of an experiment did with the cells it was given. */
export interface ExperimentSummary {
  readonly done: number;
  /** Cells that failed, and why. */
  readonly failed: readonly { readonly cell: string; readonly reasons: readonly string[] }[];
  /** Cells that another process runs. */
  readonly busy: readonly string[];
  /** Cells that are not finished because of the signal. */
  readonly stopped: number;
}

export interface ExperimentOptions extends Omit<CellContext, 'say'> {
  /** Reports a line. */
  readonly say: (line: string) => void;
}

/**
 * Checks that the cells in the folder were run with the settings that the experiment has now: all of them, since the report compares
 * those that this process leaves alone too.
 * @throws ExperimentError naming the cells and the keys that differ.
 */
async function refuseChanged({ experiment, out }: ExperimentOptions): Promise<void> {
  const lines: string[] = [];
  for (const cell of selectCells(experiment)) {
    const record = await readRecord(cellFolder(out, cell));
    if (record === undefined) continue;
    if (record.experiment !== experiment.name) {
      throw new ExperimentError(
        `${out} holds cells of the experiment "${record.experiment}", not of "${experiment.name}"; choose another --out`,
      );
    }
    const { training, evaluations } = changesOf(record, cell, experiment.evaluations);
    const changes = [...training, ...[...evaluations].map(([name, change]) => `evaluations.${name}: ${change}`)];
    if (changes.length > 0) lines.push(`  ${cellName(cell)}: ${changes.join('; ')}`);
  }
  if (lines.length === 0) return;
  throw new ExperimentError(
    `${experiment.path} has changed since these cells of ${out} were run:\n${lines.join('\n')}\n` +
      'Choose another --out, or run what has changed again with --restart-changed',
  );
}

function durationText(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Expected time of cells: that of finished ones of the same variant, else of all. */
function createEstimate() {
  const finished: { readonly variant: string; readonly seconds: number }[] = [];
  const mean = (of: readonly { readonly seconds: number }[]) =>
    of.reduce((sum, { seconds }) => sum + seconds, 0) / of.length;
  return {
    add: (cell: Cell, seconds: number) => finished.push({ variant: cell.variant.name, seconds }),
    /** undefined as long as no cell is finished. */
    of(cells: readonly Cell[]): number | undefined {
      if (finished.length === 0) return undefined;
      return cells.reduce((sum, { variant: { name } }) => {
        const same = finished.filter(({ variant }) => variant === name);
        return sum + mean(same.length > 0 ? same : finished);
      }, 0);
    },
  };
}

/**
 * Trains and evaluates cells one after the other. Finished cells are skipped, interrupted ones continue, and a cell that fails does
 * not stop the others.
 * @throws ExperimentError for settings that have changed, before anything runs.
 */
export async function runExperiment(cells: readonly Cell[], options: ExperimentOptions): Promise<ExperimentSummary> {
  const { out, experiment, signal, say } = options;
  if (!options.restartChanged) await refuseChanged(options);
  await makeFolder(out);
  await writeDefinition(out, experiment);
  const began = performance.now();
  const estimate = createEstimate();
  for (const cell of cells) {
    const record = await readRecord(cellFolder(out, cell));
    if (record?.status === 'done') estimate.add(cell, secondsOf(record));
  }
  let done = 0;
  let stopped = 0;
  const failed: ExperimentSummary['failed'][number][] = [];
  const busy: string[] = [];
  for (const [i, cell] of cells.entries()) {
    if (signal.aborted) {
      stopped += cells.length - i;
      break;
    }
    const name = cellName(cell);
    let worked = false;
    const sayOfCell = (event: string) => {
      worked = true;
      say(`[${i + 1}/${cells.length}] ${name}: ${event}`);
    };
    const outcome = await runCell(cell, { ...options, say: sayOfCell });
    const record = await readRecord(cellFolder(out, cell));
    if (outcome === 'busy') busy.push(name);
    else if (outcome === 'stopped') stopped += 1;
    else if (outcome === 'failed') failed.push({ cell: name, reasons: failuresOf(record!) });
    else done += 1;
    if (worked && outcome === 'done') estimate.add(cell, secondsOf(record!));
    if (!worked) {
      if (outcome !== 'busy') say(`[${i + 1}/${cells.length}] ${name}: ${outcome} already`);
      continue;
    }
    const left = estimate.of(cells.slice(i + 1));
    const time = [
      `${durationText((performance.now() - began) / 1e3)} used`,
      ...(left === undefined || left === 0 ? [] : [`about ${durationText(left)} left`]),
    ];
    say(`[${i + 1}/${cells.length}] ${name}: ${outcome} (${time.join(', ')})`);
  }
  return { done, failed, busy, stopped };
}
