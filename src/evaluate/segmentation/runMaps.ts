import type { OutputName } from '../../engine/engine.js';
import type { HeadMap } from '../../heads/segmentationHead.js';
import type { Size } from '../../image/types.js';
import { tensor } from '../../tensor/tensor.js';
import type { Subject } from '../subjects/subject.js';

/** Pixels of one run of the network: some windows of 512 x 512. */
const RUN_PIXELS = 4 * 512 * 512;

/**
 * Runs a subject on images of one size, a few at a time.
 * @param images their number, and their size in pixels: multiples of the subject's stride
 * @param take receives each map of some images, [images, h, w, C]: its place among `maps`, and the first of the images
 * @param fill writes the pixels of an image, [height, width, 3]
 * @throws EngineError.
 */
export async function runMaps(
  subject: Pick<Subject, 'run'>,
  maps: readonly HeadMap[],
  { count, size: { width, height } }: { readonly count: number; readonly size: Size },
  take: (map: number, first: number, data: Float32Array) => void,
  fill: (image: number, pixels: Uint8Array) => void,
): Promise<void> {
  const wants = new Set(maps.map(({ name }) => name as OutputName));
  const perRun = Math.max(1, Math.floor(RUN_PIXELS / (width * height)));
  const bytes = width * height * 3;
  for (let first = 0; first < count; first += perRun) {
    const images = Math.min(perRun, count - first);
    const pixels = new Uint8Array(images * bytes);
    for (let i = 0; i < images; i++) fill(first + i, pixels.subarray(i * bytes, (i + 1) * bytes));
    const outputs = await subject.run(tensor('uint8', [images, height, width, 3], pixels), wants);
    maps.forEach(({ name }, i) => {
      take(i, first, outputs[name as OutputName]!.data);
    });
  }
}
