import type { TrainConfig } from './config.js';
import type { Term } from './loggedTerms.js';
import type { StepRecord } from './runLog.js';

/** Detects collapse: vectors that have become nearly equal (docs/method.md: collapse monitors). */
export interface CollapseAlarm {
  /** Takes the records of all steps in order. Returns a warning once the monitor has been below the threshold long enough. */
  observe(record: StepRecord): string | undefined;
  /** Whether the monitor has been below the threshold long enough, up to the last record. */
  readonly collapsed: boolean;
}

export interface CollapseAlarmOptions {
  /** Share of the spread of evenly distributed vectors, which have a std of 1 / sqrt(channels); 0 switches the alarm off. */
  readonly threshold: number;
  /** Consecutive steps below the threshold that raise the alarm, and above it that reset it. */
  readonly steps: number;
  /** Name of the watched std in the log, and the channels of its vectors. */
  readonly monitor: Term;
  readonly channels: number;
  /** What has collapsed and what to change, for the warning. */
  readonly symptom: string;
  readonly hint: string;
}

export function createCollapseAlarm(options: CollapseAlarmOptions): CollapseAlarm {
  const { threshold, steps, monitor, channels, symptom, hint } = options;
  let [under, over, warned] = [0, 0, false];
  return {
    get collapsed() {
      return under >= steps;
    },
    observe(record) {
      const std = record[monitor];
      if (std === undefined) return undefined;
      const spread = std * Math.sqrt(channels);
      [under, over] = spread < threshold ? [under + 1, 0] : [0, over + 1];
      if (over >= steps) warned = false;
      if (under < steps || warned) return undefined;
      warned = true;
      return (
        `COLLAPSE: ${monitor} is ${std.toPrecision(2)}, ${spread.toPrecision(2)} of what evenly spread vectors have, and ` +
        `under ${threshold} of it for ${under} steps: ${symptom}. ${hint}`
      );
    },
  };
}

type AlarmedConfig = Pick<TrainConfig, 'alarm' | 'loss' | 'model' | 'optimizer' | 'warmupEpochs' | 'batchSize'>;

/** The alarms of a run: one for the embedding if there is a global loss, one for the map embedding if there is a local loss. */
export function collapseAlarms({
  alarm,
  loss,
  model,
  optimizer,
  warmupEpochs,
  batchSize,
}: AlarmedConfig): CollapseAlarm[] {
  const common = `a lower optimizer.baseLr (now ${optimizer.baseLr}), a longer warmupEpochs (now ${warmupEpochs}) or a larger batchSize (now ${batchSize})`;
  const hintOf = (key: string, variance: number) => {
    if (loss.criterion === 'simclr')
      return `Stop and try a lower loss.temperature (now ${loss.temperature}), ${common}.`;
    // Without its variance term nothing keeps VICReg's vectors apart.
    if (variance === 0) return `Stop and give ${key} a weight (now 0; 25 in the paper): it alone keeps vectors apart.`;
    return `Stop and try a larger ${key} (now ${variance}), ${common}.`;
  };
  const shaped = [
    ...(loss.alpha > 0
      ? [
          {
            monitor: 'stde' as const,
            channels: model.expander.at(-1)!,
            symptom: 'the network gives nearly the same embedding to all photographs',
            hint: hintOf('loss.variance', loss.variance),
          },
        ]
      : []),
    ...(loss.alpha < 1
      ? [
          {
            monitor: 'stdm' as const,
            channels: model.localProjector.at(-1)!,
            symptom: 'the network gives nearly the same map embedding to all cells of all photographs',
            hint: hintOf('loss.local.variance', loss.local?.variance ?? loss.variance),
          },
        ]
      : []),
  ];
  return shaped.map((one) => createCollapseAlarm({ ...alarm.collapse, ...one }));
}
