import { madePictures } from '../../src/bench/pictures.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { stream } from '../../src/tensor/random.js';
import type { RawRequest } from '../../test/support/malformed/sendRaw.js';
import { malformedCases } from '../../test/support/malformed.js';

/** A request of the mix. With `cancelAfterMs`, its caller cancels the call after that many milliseconds. */
export type SoakRequest = RawRequest & { readonly cancelAfterMs?: number };

/** Size of the test images in pixels. */
const WIDTH = 384;
const HEIGHT = 256;

/** Requests in one cycle of the mix. */
const CYCLE = 20;

/** A mask of the middle of an image. */
const bitmap = {
  width: WIDTH,
  height: HEIGHT,
  data: Buffer.from(Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => Number(i % WIDTH > 100 && i % WIDTH < 300))),
};
const box = { left: 10, top: 10, right: 200, bottom: 200 };

/**
 * The mix of requests. Of every 20 requests, 12 are Embed, ExtractFeatures or Match (one of them is cancelled) and 2 are
 * malformed. The others use the remaining features in turn: batches, streams, chunked answers, stored features, pooling, PCA.
 * @returns function that makes the n-th request
 */
export async function soakRequests(): Promise<(n: number) => SoakRequest> {
  const service = loadVicreglService().service;
  const makers = await malformedCases();
  const images = (await madePictures(WIDTH, HEIGHT)).map((encoded) => ({ encoded }));
  return (n) => {
    const cycle = Math.floor(n / CYCLE);
    const image = images[n % images.length]!;
    const other = images[(n + 1) % images.length]!;
    switch (n % CYCLE) {
      case 0:
      case 10:
        return makers[(cycle * 2 + (n % CYCLE) / 10) % makers.length]!(stream(1, 'soak', n));
      case 1:
      case 11:
        return { method: 'ExtractFeatures', bytes: service.ExtractFeatures.requestSerialize({ image }) };
      case 2:
      case 12:
        return { method: 'Match', bytes: service.Match.requestSerialize({ a: { image }, b: { image: other } }) };
      case 3: {
        const requests = [{ image }, {}];
        return cycle % 2 === 0
          ? { method: 'EmbedBatch', bytes: service.EmbedBatch.requestSerialize({ requests }) }
          : { method: 'ExtractFeaturesBatch', bytes: service.ExtractFeaturesBatch.requestSerialize({ requests }) };
      }
      case 4: {
        const item = (id: string) => service.EmbedStream.requestSerialize({ id, request: { image } });
        return { method: 'EmbedStream', bytes: item('a'), further: [item('b'), item('c')] };
      }
      case 5: {
        const item = (id: string) => service.ExtractFeaturesStream.requestSerialize({ id, request: { image } });
        return {
          method: 'ExtractFeaturesStream',
          bytes: item('a'),
          further: [item('b')],
          cancelAfterMs: cancelDelayMs(cycle),
        };
      }
      case 6:
        return { method: 'ExtractFeaturesChunked', bytes: service.ExtractFeaturesChunked.requestSerialize({ image }) };
      case 7: {
        const targets = [{ image }, { image: other, store: true }];
        return cycle % 2 === 0
          ? { method: 'StoreFeatures', bytes: service.StoreFeatures.requestSerialize({ image }) }
          : { method: 'MatchMany', bytes: service.MatchMany.requestSerialize({ query: { image }, targets }) };
      }
      case 8: {
        const reduced =
          cycle % 2 === 0 ? { pooling: { regions: [{ box }, { mask: { bitmap } }] } } : { pca: { components: 3 } };
        return { method: 'ExtractFeatures', bytes: service.ExtractFeatures.requestSerialize({ image, ...reduced }) };
      }
      case 9:
        return {
          method: 'Embed',
          bytes: service.Embed.requestSerialize({ image }),
          cancelAfterMs: cancelDelayMs(cycle),
        };
      default:
        return { method: 'Embed', bytes: service.Embed.requestSerialize({ image }) };
    }
  };
}

/** A delay in milliseconds that differs by cycle, so that calls are cancelled before, during and after inference. */
function cancelDelayMs(cycle: number): number {
  return (cycle * 7) % 60;
}
