import { requestBytes } from './carriers.js';
import { bytesOf, type Maker, pick, REFUSED } from './malformedCase.js';

const methods = ['EmbedStream', 'ExtractFeaturesStream'];
const image = { raw: { width: 8, height: 8, rgb: Buffer.alloc(192, 90) } };

/** Makers of streams with one invalid message among several. */
export function streamCases(): readonly Maker[] {
  return [
    (random) => {
      const method = pick(random, methods);
      const right = requestBytes(method, { id: 'a', request: { image } });
      // No message has a field with number 0.
      const garbage = Buffer.concat([Buffer.from([0]), bytesOf(random, random.integer(60))]);
      const [bytes, ...further] = pick(random, [
        [right, garbage, right],
        [garbage, right],
        [right, right, right, garbage],
      ]) as [Buffer, ...Buffer[]];
      return { kind: 'garbage in a stream', method, bytes, further, allowed: REFUSED };
    },
    (random) => {
      const method = pick(random, methods);
      const right = requestBytes(method, { id: 'a', request: { image } });
      const wrong = requestBytes(
        method,
        pick(random, [
          {},
          { id: 'b' },
          { id: 'b', request: {} },
          { id: 'b', request: { image: {} } },
          { id: 'x'.repeat(257 + random.integer(9999)), request: { image } },
        ]),
      );
      return { kind: 'wrong items', method, bytes: right, further: [wrong, right, wrong], allowed: REFUSED };
    },
  ];
}
