/** The training that proofs about rounding repeat: networks of the bundled recipes, with what keeps rounding small for 20 steps. */

export const RECIPES = { convnext: 'convnext-atto-128', resnet: 'resnet18-128' } as const;

/**
 * Settings over a recipe. Matches by location do not depend on the weights: a match by features that rounding turns into another one is a jump of the
 * gradient. At the recipes' rates, and in the full step that AdamW makes of a gradient that is 0, differences of 1e-7 grow tenfold in a step.
 * @param images folder of photographs
 * @param size of the views in pixels
 */
export const calmSettings = (training: {
  readonly images: string;
  readonly size: number;
  readonly batch: number;
  readonly epochs: number;
}): string[] => [
  ...[`data.source=${training.images}`, 'data.workers=1', `crops.size=${training.size}`, 'loss.numMatches=[2,2]'],
  ...[`batchSize=${training.batch}`, `epochs=${training.epochs}`, 'warmupEpochs=0'],
  ...['loss.matches=location', 'optimizer.kind=lars', 'optimizer.baseLr=0.05'],
];
