import type { FeaturesRequest, ImageRequest, MatchRequest, MatchSide } from './messages.js';
import type { Photo } from './photo.js';
import { type Call, PATHS, type Program, toJson } from './program.js';
import { Reference } from './reference.js';

/** Writes programs down for other clients. */

export const LANGUAGES = {
  grpcurl: 'gRPC (grpcurl)',
  typescript: 'TypeScript',
  python: 'Python',
  curl: 'curl',
} as const;
export type Language = keyof typeof LANGUAGES;

/** Where the service answers. */
export interface Addresses {
  /** The page's folder, with a slash at its end. */
  readonly http: string;
  /** HOST:PORT */
  readonly grpc: string;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** The photographs of a program in the order of their use, with the names of their variables. */
function variablesOf(program: Program): ReadonlyMap<Photo, string> {
  const names = new Map<Photo, string>();
  toJson(
    program,
    (photo) => {
      if (!names.has(photo)) names.set(photo, LETTERS[names.size] ?? `p${names.size}`);
      return '';
    },
    () => '',
  );
  return names;
}

const shellWord = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
/** A string literal that TypeScript and Python both read. */
const quoted = (text: string) => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;

const fieldPath = (path: readonly (string | number)[]): string =>
  path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');

/** Longest line that an object may become. */
const LINE = 100;

/** Indented JSON with small objects and lists on one line each. */
function compact(json: string): string {
  for (let before = json; ; before = json) {
    json = before.replace(
      /([{[])\n\s*([^{}[\]]*(?:\{ [^{}]* \}[^{}[\]]*)*)\n\s*([}\]])/g,
      (all, open: string, inner: string, close: string) => {
        const line = `${open} ${inner.replace(/\n\s*/g, ' ')} ${close}`;
        return line.length > LINE ? all : line;
      },
    );
    if (json === before) return json;
  }
}

/** The request as JSON inside a here-document of the shell, in which variables are replaced. */
function hereDocument(request: unknown, variables: ReadonlyMap<Photo, string>): string {
  const inserted: string[] = [];
  const insert = (text: string): string => `@@${inserted.push(text) - 1}@@`;
  const json = toJson(
    request,
    (photo) => insert(`$${variables.get(photo)!}`),
    ({ call, path }) => insert(`$(jq -c ${shellWord(fieldPath(path))} ${call + 1}.json)`),
    2,
  );
  return compact(json)
    .replace(/[\\$`]/g, '\\$&')
    .replace(/"@@(\d+)@@"/g, (_, i: string) => {
      const text = inserted[Number(i)]!;
      return text.startsWith('$(') ? text : `"${text}"`;
    });
}

function shell(program: Program, command: (method: keyof typeof PATHS) => string): string {
  const variables = variablesOf(program);
  const files = [...variables].map(
    ([{ name }, variable]) => `${variable}=$(base64 < ${shellWord(name)} | tr -d '\\n')`,
  );
  const calls = program.map(({ method, request }, i) => {
    const to = i < program.length - 1 ? ` > ${i + 1}.json` : '';
    return `${command(method)} <<JSON${to}\n${hereDocument(request, variables)}\nJSON`;
  });
  return [...files, ...calls].join('\n');
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A value of a message as a literal of Python; messages are dicts, as protobuf's constructors take them. */
function pythonLiteral(value: unknown, variables: ReadonlyMap<Photo, string>): string {
  if (value instanceof Reference)
    return `answer${value.call + 1}${fieldPath(value.path.map((key) => (typeof key === 'string' ? snake(key) : key)))}`;
  if (variables.has(value as Photo)) return variables.get(value as Photo)!;
  if (Array.isArray(value)) return `[${value.map((each) => pythonLiteral(each, variables)).join(', ')}]`;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, each]) => `"${snake(key)}": ${pythonLiteral(each, variables)}`);
    return `{${fields.join(', ')}}`;
  }
  return JSON.stringify(value);
}

const RESULTS = {
  Embed: 'embedding',
  ExtractFeatures: 'features',
  Match: 'pairs',
} as const;

function python(program: Program, { grpc }: Addresses): string {
  const variables = variablesOf(program);
  const calls = program.map(({ method, request }, i) => {
    const fields = Object.entries(request).map(
      ([key, value]) => `    ${snake(key)}=${pythonLiteral(value, variables)},`,
    );
    return `answer${i + 1} = stub.${method}(pb.${method}Request(\n${fields.join('\n')}\n))`;
  });
  const { method, request } = program.at(-1)!;
  const last = `answer${program.length}`;
  const result =
    method === 'ExtractFeatures' && 'stages' in request ? `${last}.maps[0].features` : `${last}.${RESULTS[method]}`;
  return [
    'import grpc',
    'from vicregl.v1 import vicregl_pb2 as pb, vicregl_pb2_grpc  # made by protoc of proto/vicregl/v1/vicregl.proto',
    '',
    `channel = grpc.insecure_channel("${grpc}", options=[("grpc.max_receive_message_length", 64 << 20)])`,
    'stub = vicregl_pb2_grpc.VicreglServiceStub(channel)',
    ...[...variables].map(([{ name }, variable]) => `${variable} = open(${quoted(name)}, "rb").read()`),
    ...calls,
    method === 'Match' ? `print(len(${result}), ${result}[:5])` : `print(${result}.dtype, ${result}.shape)`,
  ].join('\n');
}

/** An object literal of TypeScript with the fields that are defined, whose values are code. */
function objectLiteral(fields: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
  return given.length === 0
    ? '{}'
    : `{ ${given.map(([key, code]) => (key === code ? key : `${key}: ${code}`)).join(', ')} }`;
}

const code = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));
const text = (value: string | undefined): string | undefined => (value === undefined ? undefined : quoted(value));

const DISTANCES = {
  MATCH_DISTANCE_L2: 'l2',
  MATCH_DISTANCE_COSINE: 'cosine',
  MATCH_DISTANCE_CENTRED_COSINE: 'centredCosine',
} as const;
const SPACES = { LOCAL_SPACE_BACKBONE: 'backbone', LOCAL_SPACE_LOCAL_PROJECTOR: 'localProjector' } as const;

function inputCode({ encoded, fit, native, crop }: ImageRequest, variables: ReadonlyMap<Photo, string>): string {
  const pixels = variables.get(encoded)!;
  if (!fit && !native && !crop) return pixels;
  const numbers = (fields: object) =>
    objectLiteral(Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, code(v)])));
  return objectLiteral({
    pixels,
    crop: crop && numbers(crop),
    resize: fit
      ? objectLiteral({ kind: "'fit'", width: code(fit.width), height: code(fit.height) })
      : native && "{ kind: 'native' }",
  });
}

/** An answer's part as the client names it: `maps[0].pca.basis`. */
const clientPath = ({ call, path }: Reference): string =>
  `answer${call + 1}${path.map((key) => (typeof key === 'number' ? `[${key}]!` : key === 'pca' || key === 'basis' ? `.${key}!` : `.${key}`)).join('')}`;

function sideCode(side: MatchSide, variables: ReadonlyMap<Photo, string>): string {
  if ('image' in side) return inputCode(side.image, variables);
  const { call, path } = side.features.features;
  return `{ features: ${clientPath(new Reference(call, ...path.slice(0, -1)))} }`;
}

function featuresOptions({ model, space, stages, dtype, pca }: FeaturesRequest): string {
  return objectLiteral({
    model: text(model),
    space: space && quoted(SPACES[space]),
    stages: code(stages),
    dtype: dtype && quoted(dtype.replace('DATA_TYPE_', '').toLowerCase()),
    pca: pca && objectLiteral({ components: code(pca.components), basis: pca.basis && clientPath(pca.basis) }),
  });
}

function matchOptions({ model, byFeatures, byLocation, homography }: MatchRequest): string {
  return objectLiteral({
    model: text(model),
    by: byLocation ? "'location'" : "'features'",
    space: byFeatures?.space && quoted(SPACES[byFeatures.space]),
    topGamma: code(byFeatures?.topGamma ?? byLocation?.topGamma),
    maxDistance: code(byLocation?.maxDistance),
    mutual: code(byFeatures?.mutual),
    ratio: code(byFeatures?.ratio),
    minSimilarity: code(byFeatures?.minSimilarity),
    distance: byFeatures?.distance && quoted(DISTANCES[byFeatures.distance]),
    homography: homography && (Object.keys(homography).length === 0 ? 'true' : JSON.stringify(homography)),
  });
}

/** The client's call. */
function clientCall(call: Call, variables: ReadonlyMap<Photo, string>): string {
  switch (call.method) {
    case 'Embed': {
      const { model, image, l2Normalize } = call.request;
      const options = objectLiteral({ model: text(model), l2Normalize: code(l2Normalize) });
      return `client.embed(${inputCode(image, variables)}, ${options});`;
    }
    case 'ExtractFeatures':
      return `client.features(${inputCode(call.request.image, variables)}, ${featuresOptions(call.request)});`;
    case 'Match': {
      const sides = [call.request.a, call.request.b].map((side) => sideCode(side, variables));
      return `client.match(${sides.join(', ')}, ${matchOptions(call.request)});`;
    }
  }
}

function typescript(program: Program, { grpc }: Addresses): string {
  const variables = variablesOf(program);
  const calls = program.map((call, i) => `const answer${i + 1} = await ${clientCall(call, variables)}`);
  const { method, request } = program.at(-1)!;
  const last = `answer${program.length}`;
  const map = method === 'ExtractFeatures' && 'stages' in request ? `${last}.maps[0]!` : last;
  const shown = { Embed: `${last}.vector.length`, ExtractFeatures: `${map}.shape`, Match: `${last}.pairs.length` };
  return [
    "import { readFile } from 'node:fs/promises';",
    "import { createClient } from 'vicregl';",
    `const client = createClient({ address: '${grpc}' });`,
    ...[...variables].map(([{ name }, variable]) => `const ${variable} = await readFile(${quoted(name)});`),
    ...calls,
    `console.log(${shown[method]});`,
    'await client.close();',
  ].join('\n');
}

/** A program in a language, ready to be run where the photographs' files are. */
export function snippet(program: Program, language: Language, addresses: Addresses): string {
  switch (language) {
    case 'grpcurl':
      return shell(
        program,
        (method) =>
          `grpcurl -plaintext -max-msg-sz 67108864 -d @ ${addresses.grpc} vicregl.v1.VicreglService/${method}`,
      );
    case 'curl':
      return shell(
        program,
        (method) =>
          `curl --silent --show-error --fail-with-body ${addresses.http}${PATHS[method]} -H 'content-type: application/json' --data-binary @-`,
      );
    case 'typescript':
      return typescript(program, addresses);
    case 'python':
      return python(program, addresses);
  }
}
