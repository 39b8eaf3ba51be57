import { requestBytes } from './carriers.js';
import { bytesOf, type Maker, pick, REFUSED } from './malformedCase.js';

const methods = ['EmbedStream', 'ExtractFeaturesStream'];
const image = { raw: { width: 8, height: 8, rgb: Buffer.alloc(192, 90) } };

/** Makers of streams that go wrong at one of several messages. */
export function streamCases(): readonly Maker[] {
  return [
    (random) => {
      const method = pick(random, methods);
      const right = requestBytes(method, { id: 'a', request: { image } });
      // A field of number 0 is none of any message.
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
