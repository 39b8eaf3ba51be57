import type { TrainConfig } from '../train/config.js';
import type { DryRunReport } from '../train/dryRun/dryRun.js';
import { table } from './table.js';

const millions = (count: number) => `${(count / 1e6).toFixed(2)} M`;
const gigaflops = (flops: number) => `${(flops / 1e9).toFixed(2)} GFLOP`;
const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

/** Prints the report of a dry run. @param folder of the pictures. */
export function printDryRun(config: TrainConfig, report: DryRunReport, folder: string): void {
  const { parameters, memory, learningRates } = report;
  const parts = Object.entries(parameters).filter((part): part is [string, number] => part[1] !== undefined);
  const total = parts.reduce((sum, [, count]) => sum + count, 0);
  const { state, graph, program, batches, cache } = memory;
  const several = config.stepsPerRun === 1 ? '' : ` (those of stepsPerRun ${config.stepsPerRun} twice)`;
  const classes = report.classes === undefined ? '' : ` in ${report.classes} classes`;
  console.log(
    table([
      ['photographs', `${report.photographs}${classes}`],
      ['backbone', config.model.architecture],
      ['parameters', `${millions(total)} (${parts.map(([name, count]) => `${name} ${millions(count)}`).join(', ')})`],
      [
        'per photograph',
        `${gigaflops(report.forwardFlops)} forward, ${gigaflops(report.stepFlops)} a training step, over all views`,
      ],
      [
        'memory, at least',
        `${megabytes(state + graph + program + batches)}: weights and optimizer ${megabytes(state)}, graph ${megabytes(graph)}, ` +
          `batches ${megabytes(batches)}${several}, program ${megabytes(program)}; and up to ${megabytes(cache)} of decoded photographs`,
      ],
      ...(report.bus
        ? [
            [
              'to the GPU and back',
              `${megabytes(report.bus.state + report.bus.batch)} a step: weights and optimizer ${megabytes(report.bus.state)}, ` +
                `photographs ${megabytes(report.bus.batch)}`,
            ] as const,
          ]
        : []),
      [
        'steps',
        `${report.totalSteps} of ${config.batchSize} photographs: ${config.epochs} epochs of ${report.stepsPerEpoch}, ` +
          `${report.warmupSteps} of warm-up`,
      ],
      ['learning rate', learningRates.map(({ step, lr }) => `step ${step}: ${Number(lr.toPrecision(4))}`).join(', ')],
      ['pictures', `${folder}/crops.png, learning-rate.svg, learning-rate.png`],
    ]),
  );
  for (const note of report.init?.notes ?? []) console.log(note);
  for (const warning of report.warnings) console.log(`warning: ${warning}`);
}
