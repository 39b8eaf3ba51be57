import type { FastifyReply, FastifyRequest } from 'fastify';
import { messageFromJson } from '../../../proto/json/fromJson.js';
import { JsonError } from '../../../proto/json/jsonError.js';
import { parseJson } from '../../../proto/json/parseJson.js';
import { messageType } from '../../../proto/messageType.js';
import type { AnyDefinition } from '../../../proto/methods.js';
import { factsIn } from '../../../proto/statusDetails.js';
import { tensorFromBytes } from '../../../tensor/tensor.js';
import type { Method } from '../../api/method.js';
import { invalid } from '../../api/wire/fields.js';
import { timed } from '../../call/call.js';
import { type Status, StatusError } from '../../call/errors.js';
import { ServeError } from '../../call/serveError.js';
import { unaryAnswerer } from '../../dispatch/answerUnary.js';
import { answerCall } from '../answerCall.js';
import type { HttpHost } from '../httpHost.js';
import { asServeError, jsonLimits } from '../requestMessage.js';
import type { Payload } from '../responseForm.js';
import { EMBEDDINGS_PATH } from '../routes.js';
import { type EmbeddingsRequest, readEmbeddingsRequest } from './embeddingsRequest.js';

/** The method that answers, and under which the call is counted. */
export const EMBEDDINGS_METHOD = 'EmbedBatch';

/** A decoded EmbedBatchResponse. */
interface BatchResponse {
  readonly results: readonly {
    readonly response?: {
      readonly embedding: { readonly shape: number[]; readonly data: Uint8Array };
      readonly model: { readonly name: string; readonly version: string };
    };
    readonly status?: { readonly code: Status['code']; readonly message: string; readonly details: readonly object[] };
  }[];
}

type Embedded = NonNullable<BatchResponse['results'][number]['response']>;

/** The embeddings of a response. @throws StatusError of the first image that failed, naming its place in the input */
function embeddedIn({ results }: BatchResponse): Embedded[] {
  const place = (i: number): string => (results.length > 1 ? `input[${i}]` : 'input');
  return results.map(({ response, status }, i) => {
    if (response) return response;
    const { code, message, details } = status!;
    const about = /^(model|space): /.test(message) ? message : `${place(i)}: ${message.replace(/^image: /, '')}`;
    const facts = factsIn(details) ?? { reason: 'INTERNAL' };
    throw new StatusError({
      ...facts,
      code,
      details: about,
    });
  });
}

function responseBody(
  embedded: readonly Embedded[],
  { encoding_format: encoding, dimensions }: EmbeddingsRequest,
): Payload {
  const { shape, model } = { ...embedded[0]!.embedding, model: embedded[0]!.model };
  if (dimensions !== undefined && dimensions !== shape[0]) {
    throw invalid(`dimensions: ${dimensions} asked for, and the vectors have ${shape[0]}; leave the field out`);
  }
  const data = embedded.map(({ embedding }, index) => {
    const bytes = Buffer.from(embedding.data.buffer, embedding.data.byteOffset, embedding.data.byteLength);
    const numbers = () => [...tensorFromBytes('float32', embedding.shape, bytes).data];
    return { object: 'embedding', index, embedding: encoding === 'base64' ? bytes.toString('base64') : numbers() };
  });
  // Images have no tokens: each counts as one.
  const usage = { prompt_tokens: embedded.length, total_tokens: embedded.length };
  return {
    body: JSON.stringify({ object: 'list', data, model: `${model.name}@${model.version}`, usage }),
    headers: { 'content-type': 'application/json; charset=utf-8' },
  };
}

/** POST /v1/embeddings as OpenAI's clients send it, answered by EmbedBatch. */
export function embeddingsRoute(
  definition: AnyDefinition,
  method: Method<unknown, unknown>,
  host: HttpHost,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const requestType = messageType(definition.requestType);
  const responseType = messageType(definition.responseType);
  const answer = unaryAnswerer(definition, method, host);
  const limits = jsonLimits(host.messageEntries);

  function read(body: Buffer): EmbeddingsRequest {
    try {
      return readEmbeddingsRequest(parseJson(body, limits), host.limits);
    } catch (error) {
      throw asServeError(error);
    }
  }

  function encode({ model, images, space, l2_normalize: l2Normalize }: EmbeddingsRequest): Buffer {
    const requests = images.map((encoded) => ({
      model,
      image: { encoded },
      l2Normalize,
      ...(space !== undefined && { space }),
    }));
    try {
      return definition.requestSerialize(messageFromJson(requestType, { requests }));
    } catch (error) {
      // The fields have the names of the requests of a batch.
      throw error instanceof JsonError ? invalid(error.message.replace(/^requests\[\d+\]\./, '')) : error;
    }
  }

  return (request, reply) =>
    answerCall(request, reply, EMBEDDINGS_METHOD, host, async (body, call) => {
      const type = request.headers['content-type'] ?? '';
      if (!/^application\/json\s*(;|$)/i.test(type)) {
        throw new ServeError(
          'unsupported_media_type',
          `the content-type ${type.slice(0, 100)} is not application/json`,
        );
      }
      const [parameter] = Object.keys(request.query as object);
      if (parameter !== undefined) {
        throw invalid(`${parameter.slice(0, 64)}: ${EMBEDDINGS_PATH} reads no query; send the field in the body`);
      }
      const [asked, bytes] = await timed(call, 'receive', () => {
        const asked = read(body.bytes);
        return [{ ...asked, images: [] }, encode(asked)] as const;
      });
      body.release();
      const response = await answer({ bytes }, call);
      return timed(call, 'encode', () =>
        responseBody(embeddedIn(responseType.decode(response) as unknown as BatchResponse), asked),
      );
    });
}
