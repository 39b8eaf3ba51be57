import type { KindOf, MethodName } from '../../proto/methods.js';

/** The methods with one request and one response: those that HTTP offers. */
export type UnaryMethodName = { [M in MethodName]: KindOf<M> extends 'unary' ? M : never }[MethodName];

/** Where a method is found over HTTP. */
export interface Route {
  readonly verb: 'GET' | 'POST';
  /** In Fastify's form; a parameter is a field of the request message. */
  readonly path: string;
  readonly summary: string;
  /** The field of the request message that a body means that is an image. */
  readonly imageField?: string;
  /** Whether the tensors of the response are also sent as NumPy files. */
  readonly numpy?: boolean;
}

/** The route of every unary method; the build fails for a method without one. */
export const routes: Readonly<Record<UnaryMethodName, Route>> = {
  Embed: {
    ...{ verb: 'POST', path: '/v1/embed', imageField: 'image', numpy: true },
    summary: 'The global vector of one image',
  },
  ExtractFeatures: {
    ...{ verb: 'POST', path: '/v1/features', imageField: 'image', numpy: true },
    summary: 'The local vectors of one image, and where their cells lie in it',
  },
  Match: { verb: 'POST', path: '/v1/match', summary: 'Matching cells of two images' },
  ListModels: { verb: 'GET', path: '/v1/models', summary: 'The models that requests can name' },
  GetModel: { verb: 'GET', path: '/v1/models/:model', summary: 'One model: architecture, outputs, preprocessing' },
  GetServerInfo: { verb: 'GET', path: '/v1/info', summary: 'The server: versions, models, limits' },
  EmbedBatch: { verb: 'POST', path: '/v1/embed-batch', summary: 'The global vectors of several images' },
  ExtractFeaturesBatch: { verb: 'POST', path: '/v1/features-batch', summary: 'The local vectors of several images' },
  MatchMany: { verb: 'POST', path: '/v1/match-many', summary: 'Matches of one image with several' },
  StoreFeatures: {
    ...{ verb: 'POST', path: '/v1/stored-features', imageField: 'image' },
    summary: 'Stores the local vectors of an image, for matches by reference',
  },
};

/** Where OpenAI's clients find their method. */
export const EMBEDDINGS_PATH = '/v1/embeddings';
