import type { ExportSource } from './exportSource.js';
import type { Manifest } from './manifest.js';

/** The card's file in a model folder. */
export const CARD_FILE = 'README.md';

/** Around the section that is written here, so that a form of a form has one of them. */
const BEGIN = '<!-- form: begin (vicregl models) -->';
const END = '<!-- form: end -->';

/** How an int8 model was made, and how far it is from the float model. */
function quantizedText({ operators, ranges, images, agreement }: NonNullable<Manifest['quantization']>): string[] {
  const integers = operators === 'conv' ? 'convolutions and sums' : 'linear layers';
  return [
    `Weights and activations of ${integers} have 8 bits; the ranges of activations (${ranges}) come from ${images} images. It runs on the CPU only.`,
    agreement
      ? `On ${agreement.images} other images the cosine to the float model is ${agreement.representation.mean.toFixed(5)} for embeddings ` +
        `(worst ${agreement.representation.worst.toFixed(5)}) and ${agreement.cells.mean.toFixed(5)} for cells ` +
        `(worst ${agreement.cells.worst.toFixed(5)}).`
      : 'No images were left to compare it with the float model.',
  ];
}

/**
 * The card of a model that is another form (precision, output stride, stages, int8) of a given one: what this form is, and then the
 * given model's card, which describes training and results.
 */
export function formCard(
  card: string,
  formOf: NonNullable<ExportSource['formOf']>,
  written: Pick<Manifest, 'name' | 'precision' | 'compute' | 'stride' | 'quantization'>,
): string {
  const start = card.indexOf(BEGIN);
  const end = card.indexOf(END, start);
  const original = start === 0 && end > 0 ? card.slice(end + END.length).trimStart() : card;
  const command = written.quantization ? 'quantize' : 'convert';
  const form = [
    `Written by \`vicregl models ${command}\` from ${formOf.name} ${formOf.version} (${formOf.precision}).`,
    ...(written.quantization
      ? quantizedText(written.quantization)
      : [`Weights are stored in ${written.precision}, products are computed in ${written.compute}.`]),
    `A cell covers ${written.stride} x ${written.stride} pixels.`,
  ];
  return [
    BEGIN,
    '',
    `# ${written.name}`,
    '',
    ...form,
    '',
    `The card of ${formOf.name} follows. Its figures are those of that model.`,
    '',
    END,
    '',
    original,
  ].join('\n');
}
