import { loadVicreglService } from '../../../src/proto/load.js';
import type { RandomStream } from '../../../src/tensor/random.js';
import { pick } from './malformedCase.js';

/** A method whose request contains a given message, and how to build that request. */
type Carriers = Readonly<Record<string, (part: object) => object>>;

/** All requests that contain an image. */
const ofImages: Carriers = {
  Embed: (image) => ({ image }),
  EmbedBatch: (image) => ({ requests: [{ image }] }),
  EmbedStream: (image) => ({ id: 'a', request: { image } }),
  ExtractFeatures: (image) => ({ image }),
  ExtractFeaturesBatch: (image) => ({ requests: [{ image }] }),
  ExtractFeaturesStream: (image) => ({ id: 'a', request: { image } }),
  ExtractFeaturesChunked: (image) => ({ image }),
  StoreFeatures: (image) => ({ image }),
  Match: (image) => ({ a: { image }, b: { image } }),
  MatchMany: (image) => ({ query: { image }, targets: [{ image }] }),
};

/** All requests that contain a request of ExtractFeatures. */
const ofFeatureRequests: Carriers = {
  ExtractFeatures: (request) => request,
  ExtractFeaturesBatch: (request) => ({ requests: [request] }),
  ExtractFeaturesStream: (request) => ({ id: 'a', request }),
  ExtractFeaturesChunked: (request) => request,
};

const pixels = { raw: { width: 8, height: 8, rgb: Buffer.alloc(192, 90) } };

/** All requests that contain a side of a match. */
const ofSides: Carriers = {
  Match: (side) => ({ a: side, b: { image: pixels } }),
  MatchMany: (side) => ({ query: { image: pixels }, targets: [side] }),
};

const definition = loadVicreglService().service as unknown as Readonly<
  Record<string, { requestSerialize(message: object): Buffer }>
>;

/** Encodes the request of a method. */
export function requestBytes(method: string, message: object): Buffer {
  return definition[method]!.requestSerialize(message);
}

function inAny(carriers: Carriers) {
  const methods = Object.entries(carriers);
  return (part: object, random: RandomStream): { readonly method: string; readonly bytes: Buffer } => {
    const [method, message] = pick(random, methods);
    return { method, bytes: requestBytes(method, message(part)) };
  };
}

/** An image in a request of one of the methods that take one. */
export const carryImage = inAny(ofImages);
/** An image in a request of every method that takes one. */
export function imageRequests(image: object): { readonly method: string; readonly bytes: Buffer }[] {
  return Object.entries(ofImages).map(([method, message]) => ({ method, bytes: requestBytes(method, message(image)) }));
}
/** A request of ExtractFeatures, alone or as an item. */
export const carryFeatureRequest = inAny(ofFeatureRequests);
/** A side of a match. */
export const carrySide = inAny(ofSides);

/** A valid request of every method that takes images. @param images two encoded images */
export function rightRequests(images: readonly [Buffer, Buffer]): Readonly<Record<string, Buffer>> {
  const [image, other] = images.map((encoded) => ({ encoded })) as [object, object];
  const messages: Record<string, object> = {
    ...Object.fromEntries(Object.entries(ofImages).map(([method, carry]) => [method, carry(image)])),
    ExtractFeatures: {
      image,
      pooling: { regions: [{ box: { left: 1, top: 1, right: 9, bottom: 9 } }, { box: { right: 9, bottom: 9 } }] },
      pca: { components: 1 },
    },
    Match: { a: { image }, b: { image: other }, homography: {} },
    MatchMany: { query: { image }, targets: [{ image: other, store: true }, { image }] },
  };
  return Object.fromEntries(Object.entries(messages).map(([name, message]) => [name, requestBytes(name, message)]));
}
