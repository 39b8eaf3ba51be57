import { openImageSource, sourceText } from '../data/sources.js';
import { ConfigError, type TrainConfig } from '../train/config.js';
import { drawCrops } from '../train/dryRun/drawCrops.js';
import { sampleCrops } from '../train/dryRun/sampleCrops.js';

/** Photographs in the picture, two views each. */
const PICTURED = 4;

/**
 * Draws the crops of the run's first step with their location-based matches, as a dry run does.
 * @returns a PNG file
 * @throws DataError, ConfigError if the photographs are not where the configuration says; ImageError.
 */
export async function drawRunCrops(config: TrainConfig): Promise<Buffer> {
  const source = await openImageSource(config.data.source, { given: 'data.source' });
  try {
    if (source.count < config.batchSize) {
      throw new ConfigError(
        `data.source: ${sourceText(config.data.source)} has ${source.count} photographs now, fewer than a batch of ` +
          `${config.batchSize}; they are not those of the run`,
      );
    }
    return await drawCrops(await sampleCrops(config, source, PICTURED));
  } finally {
    await source.close();
  }
}
