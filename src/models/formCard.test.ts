import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formCard } from './formCard.js';

const float = { name: 'birds', version: '3', precision: 'float16' } as const;

test('the card of an int8 model says how it was made and how far it is from the float model, before the card of that model', () => {
  const card = formCard('# birds\n\nStored in float16.\n', float, {
    ...{ name: 'birds-int8', precision: 'int8', compute: 'int8', stride: 16 },
    quantization: {
      ...{ operators: 'conv', ranges: 'minmax', images: 64, fingerprint: 'f' },
      agreement: {
        images: 50,
        representation: { mean: 0.9999, worst: 0.999 },
        cells: { mean: 0.9994, worst: 0.9963 },
      },
    },
  });
  assert.match(
    card,
    /^<!-- form: begin[^\n]*\n\n# birds-int8\n\nWritten by `vicregl models quantize` from birds 3 \(float16\)\.\n/,
  );
  assert.match(card, /\(minmax\) come from 64 images\. It runs on the CPU only\./);
  assert.match(
    card,
    /On 50 other images .* 0\.99990 for embeddings \(worst 0\.99900\) and 0\.99940 for cells \(worst 0\.99630\)\./,
  );
  assert.ok(card.endsWith('<!-- form: end -->\n\n# birds\n\nStored in float16.\n'));
});

test('the form of a form has one such section', () => {
  const written = { compute: 'float32', stride: 16 } as const;
  const once = formCard('card', float, { ...written, name: 'wide', precision: 'float32' });
  assert.match(
    once,
    /Weights are stored in float32, products are computed in float32\.\nA cell covers 16 x 16 pixels\./,
  );
  const twice = formCard(
    once,
    { ...float, name: 'wide', precision: 'float32' },
    { ...written, stride: 8, name: 'fine', precision: 'float32' },
  );
  assert.equal(
    twice,
    formCard(
      'card',
      { ...float, name: 'wide', precision: 'float32' },
      { ...written, stride: 8, name: 'fine', precision: 'float32' },
    ),
  );
});
