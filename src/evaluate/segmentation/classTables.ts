/** Classes of published data sets, by label, and colours. */

/** Red, green and blue, 0 to 255. */
export type Colour = readonly [number, number, number];

/** A class of a segmentation. */
export interface SegmentationClass {
  readonly name: string;
  readonly colour: Colour;
}

/**
 * The colour of a label in PASCAL VOC's palette: the bits of the label, three by three, become the high bits of red, green and
 * blue. Label 0 is black.
 */
function paletteColour(label: number): Colour {
  const colour = [0, 0, 0];
  for (let bit = 7, rest = label; rest > 0; bit--, rest >>= 3) {
    for (let c = 0; c < 3; c++) colour[c]! |= ((rest >> c) & 1) << bit;
  }
  return colour as unknown as Colour;
}

/** Classes with the colours of PASCAL VOC's palette. @param first label of the first colour */
const withPalette = (names: readonly string[], first = 0): SegmentationClass[] =>
  names.map((name, i) => ({ name, colour: paletteColour(i + first) }));

const words = (text: string): string[] => text.trim().split(/\s*,\s*/);

/** PASCAL VOC 2012. */
export const vocClasses = withPalette(
  words(
    'background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor',
  ),
);

/** Cityscapes: the 19 classes that are evaluated, with their colours and their `id` in _labelIds.png. */
export const cityscapesClasses: readonly (SegmentationClass & { readonly id: number })[] = [
  { name: 'road', id: 7, colour: [128, 64, 128] },
  { name: 'sidewalk', id: 8, colour: [244, 35, 232] },
  { name: 'building', id: 11, colour: [70, 70, 70] },
  { name: 'wall', id: 12, colour: [102, 102, 156] },
  { name: 'fence', id: 13, colour: [190, 153, 153] },
  { name: 'pole', id: 17, colour: [153, 153, 153] },
  { name: 'traffic light', id: 19, colour: [250, 170, 30] },
  { name: 'traffic sign', id: 20, colour: [220, 220, 0] },
  { name: 'vegetation', id: 21, colour: [107, 142, 35] },
  { name: 'terrain', id: 22, colour: [152, 251, 152] },
  { name: 'sky', id: 23, colour: [70, 130, 180] },
  { name: 'person', id: 24, colour: [220, 20, 60] },
  { name: 'rider', id: 25, colour: [255, 0, 0] },
  { name: 'car', id: 26, colour: [0, 0, 142] },
  { name: 'truck', id: 27, colour: [0, 0, 70] },
  { name: 'bus', id: 28, colour: [0, 60, 100] },
  { name: 'train', id: 31, colour: [0, 80, 100] },
  { name: 'motorcycle', id: 32, colour: [0, 0, 230] },
  { name: 'bicycle', id: 33, colour: [119, 11, 32] },
];
/** Largest `id` of Cityscapes; ids without a class are ignored. */
export const CITYSCAPES_LAST_ID = 33;

/** CamVid's 11 classes of the usual split of 367, 101 and 233 frames. */
export const camvidClasses: readonly SegmentationClass[] = [
  { name: 'sky', colour: [128, 128, 128] },
  { name: 'building', colour: [128, 0, 0] },
  { name: 'pole', colour: [192, 192, 128] },
  { name: 'road', colour: [128, 64, 128] },
  { name: 'pavement', colour: [60, 40, 222] },
  { name: 'tree', colour: [128, 128, 0] },
  { name: 'sign', colour: [192, 128, 128] },
  { name: 'fence', colour: [64, 64, 128] },
  { name: 'car', colour: [64, 0, 128] },
  { name: 'pedestrian', colour: [64, 64, 0] },
  { name: 'bicyclist', colour: [0, 128, 192] },
];
/** CamVid's label of pixels without a class. */
export const CAMVID_VOID = 11;

/** The 150 classes of ADE20K (MIT Scene Parsing Benchmark); in the files 0 is ignored, and labels are one larger. */
export const ade20kClasses = withPalette(
  words(
    'wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, table, ' +
      'mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat, fence, ' +
      'desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink, ' +
      'skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway, ' +
      'river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, ' +
      'computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, ' +
      'booth, television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, ' +
      'stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, ' +
      'bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, ' +
      'blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, ' +
      'shower, radiator, glass, clock, flag',
  ),
  1,
);

/** Classes that are known by their number alone. */
export const numberedClasses = (count: number): SegmentationClass[] =>
  withPalette(Array.from({ length: count }, (_, label) => String(label)));

/** Classes by name, with colours of the palette where none is given. */
export const namedClasses = (
  given: readonly { readonly name: string; readonly colour?: Colour | undefined }[],
): SegmentationClass[] => given.map(({ name, colour }, label) => ({ name, colour: colour ?? paletteColour(label) }));
