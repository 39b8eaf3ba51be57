import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { embedMessage } from './embedding.js';
import { featuresMessage } from './features.js';
import { imageMessage } from './image.js';
import { sideMessage } from './matchInput.js';
import { homographyMessage, matchingMessage } from './options.js';
import { matchDistances, protocolName } from './protocolNames.js';

describe('protocolName', () => {
  it('gives the name of a value', () => {
    assert.equal(protocolName('distance', matchDistances, 'centredCosine'), 'MATCH_DISTANCE_CENTRED_COSINE');
  });

  it('rejects other values of JavaScript callers, and those that every object has', () => {
    for (const value of ['L2', 'toString', '', null]) {
      assert.throws(() => protocolName('distance', matchDistances, value as 'l2'), {
        code: 'INVALID_ARGUMENT',
        message: `distance: ${value} is not one of l2, cosine, centredCosine`,
      });
    }
  });

  it('is asked by the requests, whose unknown values would become the default', () => {
    const image = { rgb: new Uint8Array(3), width: 1, height: 1 };
    const space = 'projector' as 'localProjector';
    assert.throws(
      () => featuresMessage(image, { space }),
      /^VicreglError: space: projector is not one of backbone, localProjector/,
    );
    assert.throws(() => featuresMessage(image, { dtype: 'fp16' as 'float16' }), /dtype: fp16 is not one of float32/);
    assert.throws(() => matchingMessage({ space }), /space: projector is not one of/);
    assert.throws(
      () => matchingMessage({ by: 'locations' as 'location' }),
      /by: locations is not one of features, location/,
    );
    assert.throws(
      () => imageMessage({ pixels: image, resize: { kind: 'shortest' as 'native' } }, 'image'),
      /image\.resize\.kind: shortest is not one of shortestSide, fit, native/,
    );
    assert.throws(
      () => matchingMessage({ distance: 'L2' as 'l2' }),
      /distance: L2 is not one of l2, cosine, centredCosine/,
    );
    assert.deepEqual(matchingMessage({ distance: 'cosine' }), {
      byFeatures: { mutual: false, distance: 'MATCH_DISTANCE_COSINE' },
    });
  });
});

describe('requests of JavaScript callers', () => {
  const rgb = { rgb: new Uint8Array(3), width: 1, height: 1 };
  const no = 'false' as unknown as boolean;

  it('with a text for true or false are INVALID_ARGUMENT', () => {
    const crop = { left: 0, top: 0, width: 8, height: 8, flip: no };
    const wrong: [() => unknown, RegExp][] = [
      [() => imageMessage({ crop }, 'a'), /^a\.crop\.flip: false must be true or false/],
      [() => embedMessage(rgb, { l2Normalize: no }), /^l2Normalize: false/],
      [() => featuresMessage(rgb, { l2Normalize: no }), /^l2Normalize: false/],
      [() => matchingMessage({ mutual: no }), /^mutual: false/],
      [() => homographyMessage({ homography: no }), /^homography: false/],
    ];
    for (const [act, message] of wrong) assert.throws(act, { code: 'INVALID_ARGUMENT', message });
    assert.deepEqual(homographyMessage({ homography: true }), { homography: {} });
    assert.deepEqual(homographyMessage({ homography: false }), {});
  });

  it('with anything else than an image are INVALID_ARGUMENT', () => {
    const others: [unknown, string][] = [
      [new ArrayBuffer(3), 'ArrayBuffer'],
      [new Blob([]), 'Blob'],
      ['photo.jpg', 'String'],
      [null, 'Null'],
      [undefined, 'Undefined'],
      [{ file: 'photo.jpg' }, 'Object'],
    ];
    for (const [value, type] of others) {
      const message = new RegExp(
        `^image: a value of type ${type} is not an image; give the bytes of a file as Uint8Array`,
      );
      assert.throws(() => imageMessage(value as Uint8Array, 'image'), { code: 'INVALID_ARGUMENT', message });
    }
    assert.deepEqual(imageMessage({}, 'image'), {});
    const pixels = new ArrayBuffer(3) as unknown as Uint8Array;
    assert.throws(() => imageMessage({ pixels }, 'image'), { message: /^image\.pixels: a value of type ArrayBuffer/ });
  });

  it('with pixels or vectors of another type are INVALID_ARGUMENT, not cut to whole numbers', () => {
    const unit = new Float32Array(3) as unknown as Uint8Array;
    const size = { width: 1, height: 1 };
    const grid = {
      rows: 1,
      columns: 1,
      stride: 16,
      cellToPixel: { scaleX: 16, scaleY: 16, offsetX: 0, offsetY: 0 },
      firstRow: 0,
      firstColumn: 0,
    };
    const wrong: [() => unknown, RegExp][] = [
      [
        () => imageMessage({ ...size, rgb: unit }, 'a'),
        /^a\.rgb: a value of type Float32Array is not bytes; give a Uint8Array/,
      ],
      [() => imageMessage({ pixels: { ...size, rgb: unit } }, 'a'), /^a\.pixels\.rgb: /],
      [() => featuresMessage(rgb, { pooling: [{ bitmap: { ...size, data: unit } }] }), /^pooling\[0\]\.bitmap\.data: /],
      [
        () => featuresMessage(rgb, { pooling: [{ png: 'x' as unknown as Uint8Array }] }),
        /^pooling\[0\]\.png: a value of type String/,
      ],
      [
        () =>
          sideMessage(
            { features: { data: new Float64Array(1) as unknown as Float32Array, shape: [1, 1, 1], grid } },
            'b',
          ),
        /^b\.features\.data: a value of type Float64Array is not a Float32Array/,
      ],
    ];
    for (const [act, message] of wrong) assert.throws(act, { code: 'INVALID_ARGUMENT', message });
  });

  it('of a side of a match store what is to be stored, and nothing else', () => {
    const { image } = sideMessage({ image: rgb }, 'a');
    assert.deepEqual(sideMessage({ image: rgb }, 'a'), { image, store: false });
    assert.deepEqual(sideMessage({ image: rgb, store: false }, 'a'), { image, store: false });
    assert.deepEqual(sideMessage({ image: rgb, store: true }, 'a'), { image, store: true });
    const store = 'false' as unknown as boolean;
    assert.throws(() => sideMessage({ image: rgb, store }, 'a'), { message: /^a\.store: false must be true or false/ });
  });

  it('with run lengths that are no uint32 are INVALID_ARGUMENT', () => {
    for (const [count, text] of [
      [2 ** 32, '4294967296'],
      [1.5, '1.5'],
    ] as const) {
      const pooling = [{ runLengths: { width: 8, height: 8, counts: [0, count] } }];
      assert.throws(() => featuresMessage(rgb, { pooling }), {
        code: 'INVALID_ARGUMENT',
        message: `pooling[0].runLengths.counts[1]: ${text} must be a whole number between 0 and 4294967295`,
      });
    }
  });
});
