import { sourceFingerprint } from '../../data/sourceFingerprint.js';
import { type ImageSource, openImageSource, sourceText } from '../../data/sources.js';
import { type LabelledSplit, splitLabelled } from '../../probe/labelledImages.js';
import { ConfigError, type TrainConfig } from '../config.js';
import type { ProbeConfig } from '../probeSchema.js';

/** The labelled images of a run's probes. */
export interface ProbeData {
  /** Images that the linear probe learns from, with labels. */
  readonly source: ImageSource;
  /** Images of the k-NN probe, where there is one. */
  readonly split?: LabelledSplit;
  /** Of the sources that were opened here; a resumed run compares them. */
  readonly fingerprints: readonly string[];
  close(): Promise<void>;
}

/**
 * Opens the images of the probes.
 * @param training the run's own photographs, which are probed on where `probe.data` is absent.
 * @throws DataError, or ConfigError for too few images.
 */
export async function openProbeData(
  { seed }: Pick<TrainConfig, 'seed'>,
  probe: ProbeConfig,
  training: ImageSource,
): Promise<ProbeData> {
  const { knn, linear } = probe;
  const opened: ImageSource[] = [];
  const open = async (path: string | readonly string[], given: string): Promise<ImageSource> => {
    const source = await openImageSource(path, { labels: 'auto', given });
    opened.push(source);
    return source;
  };
  const close = async (): Promise<void> => {
    for (const source of opened) await source.close();
  };
  try {
    const source = probe.data === undefined ? training : await open(probe.data, 'probe.data');
    const test = probe.test === undefined ? undefined : await open(probe.test, 'probe.test');
    const split = knn && splitLabelled(source, test, { ...knn, seed });
    const name = sourceText(probe.data ?? 'data.source');
    if (knn && split && split.train.indices.length < knn.k) {
      throw new ConfigError(
        `probe.knn.k is ${knn.k}, but ${name} has only ${split.train.indices.length} images to look for neighbours; lower k or give more`,
      );
    }
    if (linear && source.count < linear.batchSize) {
      throw new ConfigError(
        `probe.linear.batchSize is ${linear.batchSize}, but ${name} has only ${source.count} images; use a smaller batch`,
      );
    }
    return { source, ...(split && { split }), fingerprints: opened.map(sourceFingerprint), close };
  } catch (error) {
    await close();
    throw error;
  }
}
