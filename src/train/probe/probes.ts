import type { SkippedImage } from '../../data/sample.js';
import type { SessionConfig } from '../../onnx/session.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { TrainConfig } from '../config.js';
import type { Progress } from '../progress.js';
import { PROBED } from '../runLog.js';
import type { RunRecorder } from '../runRecorder.js';
import { createKnnProbe } from './knnProbe.js';
import { createLinearProbe } from './linearProbe.js';
import type { ProbeData } from './probeData.js';

/** Measures the features between the steps of a run. */
export interface Probes {
  /** Steps from `step` to the next after which the weights are needed; infinite without probes. */
  stepsToNext(step: number): number;
  /**
   * Runs the probes that are due after a number of steps, and records the results. A probe that fails is noted: it must not end
   * the run, which would fail at the same step again after each `--resume`.
   */
  afterStep(
    step: number,
    weights: ReadonlyMap<string, Tensor>,
    to: { readonly recorder: RunRecorder; readonly progress: Progress },
  ): Promise<void>;
  /** What the probes have learned, for the checkpoint. */
  state(): ReadonlyMap<string, Tensor>;
  close(): Promise<void>;
}

export interface ProbesOptions {
  /** Undefined without probes. */
  readonly data: ProbeData | undefined;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly session: SessionConfig;
  /** State of the checkpoint from which the run continues. */
  readonly resumed?: ReadonlyMap<string, Tensor>;
}

/** @throws CheckpointError, DataError and DeviceError. */
export async function createProbes(config: TrainConfig, options: ProbesOptions): Promise<Probes> {
  const { data, stepsPerEpoch, totalSteps, resumed } = options;
  const { probe: keys } = config;
  // Spinning threads would take the cores from the training step.
  const session = { ...options.session, memoryPlan: false, spinning: false };
  const knn = keys?.knn && data?.split && (await createKnnProbe(config, keys.knn, data.split, session));
  const linear =
    keys?.linear &&
    data &&
    (await createLinearProbe(config, keys.linear, data.source, session, resumed).catch(async (error: unknown) => {
      await knn?.close();
      throw error;
    }));
  const knnEvery = keys?.knn && Math.max(1, Math.round(keys.knn.everyEpochs * stepsPerEpoch));
  const linearEvery = keys?.linear?.everySteps;
  const stepsTo = (step: number, every = Number.POSITIVE_INFINITY) =>
    Number.isFinite(every) ? every - (step % every) : every;
  const noted = new Set<string>();

  return {
    stepsToNext: (step) => Math.min(stepsTo(step, knnEvery), stepsTo(step, linearEvery)),
    async afterStep(step, weights, { recorder, progress }) {
      const skip = async (skipped: readonly SkippedImage[]): Promise<void> => {
        for (const { name, reason } of skipped) {
          const named = PROBED + name;
          if (recorder.skipped.has(named)) continue;
          await recorder.skip({ step, skipped: named, reason });
          progress.note(`skipped ${named}: ${reason}`);
        }
      };
      const noteOnce = (text: string): void => {
        if (noted.has(text)) return;
        noted.add(text);
        progress.note(`step ${step}: ${text}`);
      };
      const attempt = <T>(probe: string, measuring: Promise<T>): Promise<T | undefined> =>
        measuring.catch((error: unknown) => {
          noteOnce(`${probe} failed, and the run goes on: ${error instanceof Error ? error.message : String(error)}`);
          return undefined;
        });
      let terms = {};
      if (linear && step % linearEvery! === 0) {
        const measure = await attempt('the linear probe', linear.learn(step / linearEvery! - 1, weights));
        await skip(measure?.skipped ?? []);
        if (measure?.terms) terms = measure.terms;
        else if (measure)
          progress.note(`step ${step}: the linear probe diverged and starts anew; lower probe.linear.lr`);
      }
      if (knn && (step % knnEvery! === 0 || step === totalSteps)) {
        const measure = await attempt('the k-NN probe', knn.measure(weights));
        await skip(measure?.skipped ?? []);
        if (measure?.terms) {
          const { k } = keys!.knn!;
          const { neighbours, terms: own } = measure;
          if (neighbours < k) {
            noteOnce(
              `only ${neighbours} of the images in which the k-NN probe looks for neighbours can be decoded, fewer than probe.knn.k (${k}); it takes all of them`,
            );
          }
          terms = { ...terms, ...own };
          const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
          progress.note(`step ${step}: k-NN top-1 ${percent(own.knn_top1)}, top-5 ${percent(own.knn_top5)}`);
        } else if (measure) {
          const which = measure.neighbours === 0 ? 'the images in which it looks for neighbours' : 'its test images';
          noteOnce(`the k-NN probe measures nothing: none of ${which} can be decoded`);
        }
      }
      if (Object.keys(terms).length > 0) await recorder.probe({ step, ...terms });
    },
    state: () => linear?.state() ?? new Map(),
    async close() {
      await linear?.close();
      await knn?.close();
    },
  };
}
