import { firstNonFinite } from '../tensor/finite.js';
import type { Tensor } from '../tensor/tensor.js';
import { listCheckpoints, saveCheckpoint, setCheckpointAside } from './checkpoint.js';
import type { TrainConfig } from './config.js';
import type { Progress } from './progress.js';
import type { RunRecorder } from './runRecorder.js';

/** A loss term, a monitor or a weight became infinite or not a number; the newest checkpoint is from before. */
export class NonFiniteLossError extends Error {
  override readonly name = 'NonFiniteLossError';
}

/** Saves a run in progress. */
export interface CheckpointSaver {
  /** Step of the newest checkpoint; -1 before the first one. */
  readonly saved: number;
  /** Saves the state after a number of steps. @throws NonFiniteLossError for weights that are not finite. */
  save(steps: number): Promise<void>;
  /** The error of a step that was not finite. A checkpoint of the state before that very step is set aside. */
  diverged(step: number, what: string): Promise<NonFiniteLossError>;
}

export interface CheckpointSaverOptions {
  readonly run: string;
  readonly config: TrainConfig;
  /** Fingerprint of the photographs. */
  readonly data: string;
  /** Processes that share each batch. */
  readonly ranks: number;
  readonly totalSteps: number;
  /** Step of the checkpoint from which the run resumes; -1 without one. */
  readonly resumed: number;
  /** Whether the curves are drawn too. */
  readonly curves: boolean;
  readonly state: () => ReadonlyMap<string, Tensor>;
  readonly recorder: RunRecorder;
  readonly progress: Progress;
}

/** A run that diverges within this number of steps after a checkpoint may have diverged because of it. */
const SOON = 5;

export function createCheckpointSaver(options: CheckpointSaverOptions): CheckpointSaver {
  const { run, config, data, ranks, totalSteps, resumed, curves, state, recorder, progress } = options;
  const { every, keep, best } = config.checkpoints;
  let saved = resumed;

  const diverged = async (step: number, what: string): Promise<NonFiniteLossError> => {
    // A checkpoint of the state before this very step leads to the same place. That of given weights stays: they are where any
    // other rate starts from.
    if (saved === step - 1 && saved > 0) await setCheckpointAside(run, saved);
    const checkpoints = await listCheckpoints(run);
    const good = checkpoints.at(-1);
    const last = good === undefined ? 'there is no checkpoint from before' : `the checkpoint of step ${good} is good`;
    const stopped = `step ${step}: ${what}; training stopped, `;
    // Finite numbers can be wrong too, such as a negative mean of squares: every run from such a checkpoint would fail.
    if (good !== undefined && good === resumed && step - resumed <= SOON) {
      const older = checkpoints.at(-2);
      const back = older === undefined ? 'there is none before it' : `go back with --checkpoint ${older}`;
      return new NonFiniteLossError(
        `${stopped}soon after it went on from the checkpoint of step ${good}. Go on with --resume and --set ` +
          'optimizer.baseLr (lower) or warmupEpochs (longer); where that does not help, the checkpoint itself may be ' +
          `damaged: ${back}.`,
      );
    }
    return new NonFiniteLossError(
      `${stopped}${last}. Go on with --resume and --set optimizer.baseLr (lower) or warmupEpochs (longer).`,
    );
  };

  return {
    get saved() {
      return saved;
    },
    diverged,
    async save(step) {
      const tensors = state();
      for (const [name, value] of tensors) {
        const bad = firstNonFinite(value);
        if (bad !== undefined) throw await diverged(step, `after the update ${name} holds ${bad.value}`);
      }
      // A checkpoint that a signal asked for has not run as long as the others: it does not compete.
      const due = step % every === 0 || step === totalSteps;
      const checkpoint = { step, seed: config.seed, data, config, ranks, tensors };
      await saveCheckpoint(run, checkpoint, keep, due ? recorder.score() : undefined);
      saved = step;
      const names = recorder.names();
      if (step > 0 && step === Math.min(every, totalSteps) && !names.includes(best.metric)) {
        progress.note(`no best checkpoint yet: nothing logs "${best.metric}" so far, only ${names.join(', ')}`);
      }
      if (!curves) return;
      // A failure to draw must not end the run.
      await recorder.draw().catch((error: Error) => progress.note(`the curves cannot be drawn: ${error.message}`));
    },
  };
}
