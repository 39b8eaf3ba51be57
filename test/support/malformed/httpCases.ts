import { messageToJson } from '../../../src/proto/json/toJson.js';
import { loadVicreglService } from '../../../src/proto/load.js';
import { type MessageDefinition, messageType } from '../../../src/proto/messageType.js';
import { routes, type UnaryMethodName } from '../../../src/serve/http/routes.js';
import type { RandomStream } from '../../../src/tensor/random.js';
import { bytesOf, damaged, type MalformedCase, pick } from './malformedCase.js';

/** A request over HTTP that is invalid, unusual or random bytes. */
export interface HttpCase {
  readonly kind: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Allowed gRPC statuses, by name; of the request or its first failed item. */
  readonly allowed: readonly string[];
}

const service = loadVicreglService().service as unknown as Readonly<
  Record<string, { readonly requestType: MessageDefinition }>
>;

const JSON_TYPE = { 'content-type': 'application/json' };
const REFUSED = ['INVALID_ARGUMENT', 'NOT_FOUND', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION'];
const ANY = ['OK', ...REFUSED];
const posts = Object.values(routes)
  .filter(({ verb }) => verb === 'POST')
  .map(({ path }) => path);

/** A case of gRPC as JSON; undefined for those that have none: streams, and bytes that are not a message. */
export function httpCase({ kind, method, bytes, allowed }: MalformedCase): HttpCase | undefined {
  const route = routes[method as UnaryMethodName];
  if (route?.verb !== 'POST') return undefined;
  try {
    const json = messageToJson(messageType(service[method]!.requestType), bytes);
    return { kind, path: route.path, headers: JSON_TYPE, body: Buffer.from(JSON.stringify(json)), allowed };
  } catch {
    return undefined;
  }
}

const BOUNDARY = 'bound';
const form = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };

function formOf(parts: readonly { readonly head: string; readonly body: Buffer }[]): Buffer {
  const chunks = parts.flatMap(({ head, body }) => [
    Buffer.from(`--${BOUNDARY}\r\n${head}\r\n\r\n`, 'latin1'),
    body,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...chunks, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

const part = (name: string, body: Buffer | string, more = '; filename="f"') => ({
  head: `content-disposition: form-data; name="${name}"${more}`,
  body: Buffer.from(body),
});

const strangeValues: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  '',
  'NaN',
  '\ud800',
  '\0',
  [],
  {},
  [[]],
  { a: {} },
  'x'.repeat(5000),
  { length: 1e9 },
  { type: 'Buffer', data: [1] },
];
const strangeKeys: readonly string[] = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  'image',
  'model',
  'stages',
  'dtype',
  'a',
  'pooling',
  'pca',
];
const strangePaths = [
  'image.encoded',
  'image',
  'a.image',
  '__proto__.x',
  'image.crop',
  'image.crop.top',
  '.',
  'a..b',
  'stages',
  'image.raw.rgb',
];

/** Makers of cases that only HTTP has. @param image an encoded image */
export function httpMakers(image: Buffer): readonly ((random: RandomStream) => HttpCase)[] {
  const right = Buffer.from(JSON.stringify({ image: { encoded: image.toString('base64') }, l2Normalize: true }));
  const rightForm = formOf([part('image', image), part('l2Normalize', 'true', '')]);
  const uri = `data:image/png;base64,${image.toString('base64')}`;
  const rightOpenai = Buffer.from(JSON.stringify({ model: 'tiny', input: [uri, { image_url: { url: uri } }] }));
  const post = (
    random: RandomStream,
    kind: string,
    body: Buffer,
    headers: HttpCase['headers'] = JSON_TYPE,
    allowed = ANY,
    path = pick(random, posts),
  ): HttpCase => ({ kind, path, headers, body, allowed });
  const raw = { width: 4, height: 4, rgb: Buffer.alloc(48, 77).toString('base64') };
  const pixels = Buffer.from(JSON.stringify({ image: { raw, native: {} }, l2Normalize: true }));
  const wide = Buffer.from(`{"requests":[${'{},'.repeat(600_000)}{}]}`);
  /** Damage that is text, of which some is harmless. */
  const retyped = (random: RandomStream): Buffer => {
    const copy = Buffer.from(pixels);
    for (let i = 0; i <= random.integer(3); i++) copy[random.integer(copy.length)] = 0x30 + random.integer(75);
    return copy;
  };
  const cut = (random: RandomStream, bytes: Buffer) => bytes.subarray(0, random.integer(bytes.length));
  const object = (random: RandomStream) =>
    Object.fromEntries(
      Array.from({ length: 1 + random.integer(3) }, () => [pick(random, strangeKeys), pick(random, strangeValues)]),
    );
  return [
    (random) => post(random, 'damaged JSON', retyped(random), JSON_TYPE, ANY, '/v1/embed'),
    (random) => post(random, 'truncated JSON', cut(random, right), JSON_TYPE, REFUSED, '/v1/embed'),
    (random) => post(random, 'no JSON', bytesOf(random, random.integer(300)), JSON_TYPE, REFUSED),
    (random) =>
      post(
        random,
        'deep JSON',
        Buffer.from(pick(random, ['[', '{"a":', '{"image":']).repeat(33 + random.integer(50_000))),
        JSON_TYPE,
        REFUSED,
      ),
    (random) => post(random, 'wide JSON', wide, JSON_TYPE, ['RESOURCE_EXHAUSTED'], '/v1/embed-batch'),
    (random) => post(random, 'strange values', Buffer.from(JSON.stringify(object(random)))),
    (random) => {
      const text = `{"__proto__": ${JSON.stringify(object(random))}, "image": {"constructor": 1}}`;
      return post(random, 'prototypes', Buffer.from(text), JSON_TYPE, REFUSED);
    },
    (random) => post(random, 'damaged form', damaged(rightForm, random), form, ANY, '/v1/embed'),
    (random) => post(random, 'truncated form', cut(random, rightForm), form, ANY, '/v1/embed'),
    (random) => post(random, 'no form', bytesOf(random, random.integer(300)), form, REFUSED),
    (random) => {
      const boundary = pick(random, [
        '',
        ';',
        '; boundary=',
        `; boundary=${'b'.repeat(500)}`,
        '; boundary="\\"',
        '; charset=x',
      ]);
      return post(random, 'wrong boundary', rightForm, { 'content-type': `multipart/form-data${boundary}` }, REFUSED);
    },
    (random) => {
      const parts = Array.from({ length: 1 + random.integer(4) }, () =>
        part(
          pick(random, strangePaths),
          pick(random, [image, Buffer.from('1'), bytesOf(random, 20)]),
          pick(random, ['', '; filename="f"', '; filename="../../etc/passwd"']),
        ),
      );
      return post(random, 'strange parts', formOf(parts), form);
    },
    (random) =>
      post(
        random,
        'many parts',
        formOf(Array.from({ length: 65 + random.integer(2000) }, () => part('model', 'x', ''))),
        form,
        ['RESOURCE_EXHAUSTED'],
      ),
    (random) => {
      const head = `content-disposition: form-data; name="image"; filename="f"\r\nx-long: ${'x'.repeat(random.integer(20_000))}`;
      return post(random, 'long header of a part', formOf([{ head, body: image }]), form, ANY, '/v1/embed');
    },
    (random) => {
      const json = {
        head: 'content-disposition: form-data; name="options"\r\ncontent-type: application/json',
        body: Buffer.from(JSON.stringify(object(random))),
      };
      return post(random, 'JSON in a form', formOf([json, part('image', image), json]), form, REFUSED);
    },
    (random) => {
      const query = Array.from(
        { length: random.integer(5) },
        () =>
          `${encodeURIComponent(pick(random, strangePaths))}=${encodeURIComponent(
            String(pick(random, strangeValues))
              .replace(/\p{Surrogate}/gu, '?')
              .slice(0, 200),
          )}`,
      );
      return post(random, 'strange query', image, { 'content-type': 'image/png' }, ANY, `/v1/embed?${query.join('&')}`);
    },
    (random) =>
      post(random, 'damaged image', damaged(image, random), { 'content-type': 'image/png' }, ANY, '/v1/features'),
    (random) => {
      const type = pick(random, [
        '',
        'x',
        'text/html',
        'application/grpc',
        'application/x-www-form-urlencoded',
        'image/',
        '/',
        'application/json;;;',
        'multipart/mixed; boundary=bound',
      ]);
      return post(random, 'other content types', right, type === '' ? {} : { 'content-type': type });
    },
    (random) => {
      const accept = pick(random, [
        'text/html',
        ';',
        'application/zip',
        '*/*;q=0',
        ','.repeat(2000),
        'application/json;q=nan',
        'application/x-npy',
      ]);
      return post(random, 'strange accept', image, { 'content-type': 'image/png', accept }, ANY, '/v1/features');
    },
    (random) => {
      const ms = pick(random, ['0', '-1', '1e3', 'x', '99999999999', ' ']);
      return post(
        random,
        'strange deadline',
        image,
        { 'content-type': 'image/png', 'x-request-timeout-ms': ms },
        ANY,
        '/v1/embed',
      );
    },
    (random) => post(random, 'damaged embeddings', damaged(rightOpenai, random), JSON_TYPE, ANY, '/v1/embeddings'),
    (random) =>
      post(
        random,
        'strange embeddings',
        Buffer.from(JSON.stringify({ model: 'tiny', input: pick(random, strangeValues), ...object(random) })),
        JSON_TYPE,
        REFUSED,
        '/v1/embeddings',
      ),
    (random) => {
      const name = pick(random, [
        '%2e%2e',
        '..%2f..%2fetc%2fpasswd',
        '%00',
        'x'.repeat(600),
        '%ff',
        '@',
        'tiny@@1',
        '__proto__',
      ]);
      return post(random, 'strange model names', Buffer.alloc(0), {}, REFUSED, `/v1/models/${name}`);
    },
  ];
}
