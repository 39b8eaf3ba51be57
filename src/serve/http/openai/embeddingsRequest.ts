import { z } from 'zod';
import { base64Bytes } from '../../../proto/json/base64.js';
import { shown } from '../../../proto/json/jsonError.js';
import { invalid } from '../../api/wire/fields.js';
import { overLimit, type ServeLimits } from '../../config/serveLimits.js';

const image = {
  anyOf: [
    { type: 'string', pattern: '^data:', description: 'A data URI: data:image/jpeg;base64,...' },
    {
      type: 'object',
      properties: {
        type: { type: 'string' },
        image_url: {
          anyOf: [
            { type: 'string', pattern: '^data:' },
            { type: 'object', properties: { url: { type: 'string', pattern: '^data:' } }, required: ['url'] },
          ],
        },
      },
      required: ['image_url'],
    },
  ],
};

/** The body of POST /v1/embeddings in OpenAI's form (platform.openai.com/docs/api-reference/embeddings), for images. */
export const embeddingsSchema = z.strictObject({
  // Read by `inputOf`, whose messages say more.
  input: z.unknown().meta({
    ...{ anyOf: [...image.anyOf, { type: 'array', items: image, minItems: 1 }] },
    description: 'One image or several, as data URIs or image_url objects with data URIs. Nothing is fetched.',
  }),
  model: z
    .string({ error: 'is not the name of a model; GET /v1/models lists them' })
    .min(1, 'is not the name of a model; GET /v1/models lists them')
    .describe('"name" or "name@version".'),
  encoding_format: z
    .enum(['float', 'base64'], { error: 'is neither float nor base64' })
    .default('float')
    .describe('Lists of numbers, or float32 values (little-endian) in base64.'),
  dimensions: z
    .int({ error: 'is not a whole number above 0' })
    .min(1, 'is not a whole number above 0')
    .optional()
    .describe("The length of the model's vectors; another one is an error."),
  user: z.string({ error: 'is not a text' }).optional().describe('Ignored.'),
  space: z.string({ error: 'is not a text' }).optional().describe('A GlobalSpace. Default: the backbone.'),
  l2_normalize: z
    .boolean({ error: 'is neither true nor false' })
    .default(true)
    .describe("Whether the vectors have length 1, as OpenAI's have."),
});

/** A request of POST /v1/embeddings. */
export interface EmbeddingsRequest extends Omit<z.output<typeof embeddingsSchema>, 'input'> {
  /** The encoded images. */
  readonly images: readonly Uint8Array[];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The bytes of a data URI. @throws ServeError `invalid_argument` naming the field, for any other text */
function imageOf(uri: string, field: string): Uint8Array {
  if (/^(https?|ftp|file):/i.test(uri)) {
    throw invalid(
      `${field}: ${shown(uri)} is a URL, and the service fetches nothing; send the image as a data URI (data:image/jpeg;base64,...)`,
    );
  }
  const comma = uri.indexOf(',');
  const head = uri.slice(0, Math.max(0, comma)).toLowerCase();
  if (!head.startsWith('data:')) {
    throw invalid(
      `${field}: ${shown(uri)} is text, and the model embeds images; send a data URI (data:image/jpeg;base64,...)`,
    );
  }
  if (!head.endsWith(';base64'))
    throw invalid(`${field}: the data URI is not in base64; send data:image/jpeg;base64,...`);
  const bytes = base64Bytes(uri.slice(comma + 1));
  if (bytes === undefined) throw invalid(`${field}: the data URI contains what is not base64`);
  return bytes;
}

/** One input: a data URI, or an object with one as chat messages have it. */
function inputOf(value: unknown, field: string): Uint8Array {
  if (typeof value === 'string') return imageOf(value, field);
  if (isObject(value)) {
    const { image_url: image } = value;
    if (typeof image === 'string') return imageOf(image, `${field}.image_url`);
    if (isObject(image) && typeof image['url'] === 'string') return imageOf(image['url'], `${field}.image_url.url`);
    throw invalid(
      `${field}: has no image_url; send {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,..."}}`,
    );
  }
  throw invalid(`${field}: ${shown(value)} is neither a data URI nor an image_url object`);
}

/** Maximum unknown fields that an error names. */
const MAX_NAMED_KEYS = 3;

function explain(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(embeddingsSchema.shape).join(', ');
    return issue.keys
      .slice(0, MAX_NAMED_KEYS)
      .map((key) => `${key.slice(0, 64)}: no such field; there are ${known}`)
      .join('; ');
  }
  return `${issue.path.join('.')}: ${shown(issue.input ?? null)} ${issue.message}`;
}

/**
 * Reads a request.
 * @param body as JSON.parse returns it
 * @throws ServeError `invalid_argument` naming the field
 */
export function readEmbeddingsRequest(body: unknown, limits: Pick<ServeLimits, 'batchRequests'>): EmbeddingsRequest {
  if (!isObject(body)) throw invalid('the body is not a JSON object; send {"model": ..., "input": ...}');
  const { data, error } = embeddingsSchema.safeParse(body, { reportInput: true });
  if (error) throw invalid(error.issues.map(explain).join('; '));
  const { input, ...rest } = data;
  if (input === undefined) throw invalid('input: missing; send a data URI, an image_url object, or a list of them');
  const inputs: readonly unknown[] = Array.isArray(input) ? input : [input];
  if (inputs.length === 0) throw invalid('input: the list is empty; send at least one image');
  if (inputs.length > limits.batchRequests) {
    throw invalid(
      `input: ${inputs.length} images, ${overLimit(limits, 'batchRequests')}; send the others in further requests`,
    );
  }
  const images = inputs.map((value, i) => inputOf(value, Array.isArray(input) ? `input[${i}]` : 'input'));
  return { ...rest, images };
}
