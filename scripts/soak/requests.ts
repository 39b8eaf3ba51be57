import { madePictures } from '../../src/bench/pictures.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { stream } from '../../src/tensor/random.js';
import type { RawRequest } from '../../test/support/malformed/sendRaw.js';
import { malformedCases } from '../../test/support/malformed.js';

/** A request of the mix, with the time after which its caller gives up, where it does. */
export type SoakRequest = RawRequest & { readonly giveUpMs?: number };

/** Size in pixels of the pictures. */
const WIDTH = 384;
const HEIGHT = 256;

/** Requests in one turn of the mix. */
const TURN = 20;

/** The middle of a picture as a mask. */
const bitmap = {
  width: WIDTH,
  height: HEIGHT,
  data: Buffer.from(Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => Number(i % WIDTH > 100 && i % WIDTH < 300))),
};
const box = { left: 10, top: 10, right: 200, bottom: 200 };

/**
 * The mix: of every 20 requests 12 are Embed, ExtractFeatures and Match, one of them given up, 2 are malformed, and the others
 * take every other way in turn: batches, streams, blocks, stored features, pooling, PCA.
 * @returns the n-th request
 */
export async function soakRequests(): Promise<(n: number) => SoakRequest> {
  const service = loadVicreglService().service;
  const makers = await malformedCases();
  const images = (await madePictures(WIDTH, HEIGHT)).map((encoded) => ({ encoded }));
  return (n) => {
    const turn = Math.floor(n / TURN);
    const image = images[n % images.length]!;
    const other = images[(n + 1) % images.length]!;
    switch (n % TURN) {
      case 0:
      case 10:
        return makers[(turn * 2 + (n % TURN) / 10) % makers.length]!(stream(1, 'soak', n));
      case 1:
      case 11:
        return { method: 'ExtractFeatures', bytes: service.ExtractFeatures.requestSerialize({ image }) };
      case 2:
      case 12:
        return { method: 'Match', bytes: service.Match.requestSerialize({ a: { image }, b: { image: other } }) };
      case 3: {
        const requests = [{ image }, {}];
        return turn % 2 === 0
          ? { method: 'EmbedBatch', bytes: service.EmbedBatch.requestSerialize({ requests }) }
          : { method: 'ExtractFeaturesBatch', bytes: service.ExtractFeaturesBatch.requestSerialize({ requests }) };
      }
      case 4: {
        const item = (id: string) => service.EmbedStream.requestSerialize({ id, request: { image } });
        return { method: 'EmbedStream', bytes: item('a'), further: [item('b'), item('c')] };
      }
      case 5: {
        const item = (id: string) => service.ExtractFeaturesStream.requestSerialize({ id, request: { image } });
        return { method: 'ExtractFeaturesStream', bytes: item('a'), further: [item('b')], giveUpMs: giveUpAfter(turn) };
      }
      case 6:
        return { method: 'ExtractFeaturesChunked', bytes: service.ExtractFeaturesChunked.requestSerialize({ image }) };
      case 7: {
        const targets = [{ image }, { image: other, store: true }];
        return turn % 2 === 0
          ? { method: 'StoreFeatures', bytes: service.StoreFeatures.requestSerialize({ image }) }
          : { method: 'MatchMany', bytes: service.MatchMany.requestSerialize({ query: { image }, targets }) };
      }
      case 8: {
        const reduced =
          turn % 2 === 0 ? { pooling: { regions: [{ box }, { mask: { bitmap } }] } } : { pca: { components: 3 } };
        return { method: 'ExtractFeatures', bytes: service.ExtractFeatures.requestSerialize({ image, ...reduced }) };
      }
      case 9:
        return { method: 'Embed', bytes: service.Embed.requestSerialize({ image }), giveUpMs: giveUpAfter(turn) };
      default:
        return { method: 'Embed', bytes: service.Embed.requestSerialize({ image }) };
    }
  };
}

/** Milliseconds, other ones in every turn: some calls end before, while and after their image runs. */
function giveUpAfter(turn: number): number {
  return (turn * 7) % 60;
}
