import type { EngineOutputs, ImageBatch, OutputName } from '../../engine/engine.js';

/** An output of a subject. */
export interface SubjectOutput {
  readonly channels: number;
  /** Input pixels from one cell to the next; absent for `representation` and `embedding`. */
  readonly stride?: number;
}

/** What is known of a subject before it runs. */
export interface SubjectShape {
  /** Input pixels from one cell of `maps` to the next. Inputs must be multiples of it. */
  readonly stride: number;
  readonly outputs: ReadonlyMap<OutputName, SubjectOutput>;
}

/** Something that turns images into features and is measured: a model, the same network with random weights, raw pixels. */
export interface Subject extends SubjectShape {
  /** What runs it, for the keys of cached features: `cpu`, `cuda`, or `none` where no runtime is used. */
  readonly provider: string;
  /** Batches that keep it busy: callers may have that many unanswered calls of `run`. */
  readonly runs: number;
  /**
   * Computes the wanted outputs of a batch, uint8 [B, H, W, 3]; see `OutputName` for their shapes.
   * @throws EngineError.
   */
  run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs>;
  close(): Promise<void>;
}

/** A subject that is not running yet. Only one runs at a time, so that each has the whole machine. */
export interface SubjectSource extends SubjectShape {
  /** `trained` for what is evaluated; `random`, `pixels`, or the model's name and version for a baseline. */
  readonly name: string;
  /** Model and version, or what the baseline is. */
  readonly model: string;
  /** Identifies what it computes: equal digests give equal features. */
  readonly digest: string;
  /** The provider, where it is known before it is opened. */
  readonly provider?: string;
  open(): Promise<Subject>;
}

/** Which features an evaluation needs beside representation and last map. */
export interface FeatureNeeds {
  /** The maps of all stages, `stage1`, `stage2`, ... */
  readonly stages?: boolean;
  /** Stride of the last map in pixels, for a ResNet. Default: as trained. */
  readonly outputStride?: number;
}

/**
 * Measures all subjects one after the other, in the given order, and closes each.
 * @param check throws for a subject that cannot be measured. All are checked before any is measured, so that a baseline that
 *   does not fit costs no work. The message for a baseline then begins with its name.
 */
export async function measureSubjects<T>(
  sources: readonly SubjectSource[],
  measure: (subject: Subject, source: SubjectSource) => Promise<T>,
  check: (source: SubjectSource) => void = () => undefined,
): Promise<T[]> {
  for (const [i, source] of sources.entries()) {
    try {
      check(source);
    } catch (error) {
      if (i > 0 && error instanceof Error) error.message = `baseline ${source.name}: ${error.message}`;
      throw error;
    }
  }
  const measured: T[] = [];
  for (const source of sources) {
    const subject = await source.open();
    try {
      measured.push(await measure(subject, source));
    } finally {
      await subject.close();
    }
  }
  return measured;
}
