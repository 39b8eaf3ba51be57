import { openImageSource } from '../data/sources.js';
import type { TrainConfig } from '../train/config.js';
import { drawCrops } from '../train/dryRun/drawCrops.js';
import { sampleCrops } from '../train/dryRun/sampleCrops.js';

/** Photographs in the picture, two views each. */
const PICTURED = 4;

/**
 * Draws the crops of the run's first step with their location-based matches, as a dry run does.
 * @returns a PNG file
 * @throws DataError if the photographs are not where the configuration says; ImageError.
 */
export async function drawRunCrops(config: TrainConfig): Promise<Buffer> {
  const source = await openImageSource(config.data.source, { given: 'data.source' });
  return drawCrops(await sampleCrops(config, source, PICTURED));
}
