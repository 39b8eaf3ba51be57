import { z } from 'zod';
import { packageVersion } from '../../../models/packageVersion.js';
import { readComments } from '../../../proto/comments.js';
import { messagePlan } from '../../../proto/json/messagePlan.js';
import { messageType } from '../../../proto/messageType.js';
import type { AnyDefinition, MethodDefinitions } from '../../../proto/methods.js';
import { timeoutHeader } from '../answerCall.js';
import { embeddingsSchema } from '../openai/embeddingsRequest.js';
import { EMBEDDINGS_PATH, type Route, routes, type UnaryMethodName } from '../routes.js';
import { createMessageSchemas, type MessageSchemas, type Schema } from './messageSchemas.js';

const BASE = '#/components/schemas/';
const binary: Schema = { type: 'string', format: 'binary' };
const json = (schema: Schema): Schema => ({ 'application/json': { schema } });

const errors = {
  '4XX': { $ref: '#/components/responses/Error' },
  '5XX': { $ref: '#/components/responses/Error' },
};

const timeoutParameter = {
  name: timeoutHeader,
  in: 'header',
  description: "Milliseconds until the caller gives up, at most the server's httpDeadlineSeconds.",
  schema: { type: 'integer', minimum: 1 },
};

/** The bodies that a route reads. */
function requestBody(type: ReturnType<typeof messageType>, { imageField }: Route, schemas: MessageSchemas): Schema {
  const message = schemas.ref(type);
  const files = messagePlan(type)
    .fields.filter(({ message: inner, repeated }) => !repeated && ['Image', 'MatchSide'].includes(inner?.name ?? ''))
    .map(({ name }) => [name, binary]);
  const form = {
    type: 'object',
    description: 'Files by the fields that they are for, other fields by their paths, or all of them as JSON.',
    properties: { ...Object.fromEntries(files), options: message },
  };
  const image = { description: 'An image; the other fields are in the query, by their paths.', ...binary };
  return {
    required: true,
    content: {
      ...json(message),
      ...(files.length > 0 && {
        'multipart/form-data': { schema: form, encoding: { options: { contentType: 'application/json' } } },
      }),
      ...(imageField !== undefined && {
        'image/*': { schema: image },
        'application/octet-stream': { schema: image },
      }),
    },
  };
}

function operation(name: UnaryMethodName, definition: AnyDefinition, route: Route, schemas: MessageSchemas): Schema {
  const { verb, path, summary, numpy } = route;
  const requestType = messageType(definition.requestType);
  const parameters = [...path.matchAll(/:(\w+)/g)].map(([, parameter]) => ({
    name: parameter,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const numpyFiles = {
    'application/octet-stream': { schema: { description: 'The only array, as a .npy file.', ...binary } },
    'application/zip': {
      schema: { description: 'All arrays as a .npz file, and the rest as response.json in it.', ...binary },
    },
  };
  return {
    operationId: name,
    summary,
    parameters: [...parameters, timeoutParameter],
    ...(verb === 'POST' && { requestBody: requestBody(requestType, route, schemas) }),
    responses: {
      200: {
        description: 'The response message.',
        content: { ...json(schemas.ref(messageType(definition.responseType))), ...(numpy && numpyFiles) },
      },
      ...errors,
    },
  };
}

/** POST /v1/embeddings, whose bodies are OpenAI's. */
function embeddingsOperation(): Schema {
  const { $schema: _, ...body } = z.toJSONSchema(embeddingsSchema, { io: 'input' });
  const embedding = {
    type: 'object',
    properties: {
      object: { const: 'embedding' },
      index: { type: 'integer' },
      embedding: {
        anyOf: [
          { type: 'array', items: { type: 'number' } },
          { type: 'string', contentEncoding: 'base64' },
        ],
      },
    },
    required: ['object', 'index', 'embedding'],
  };
  const tokens = { type: 'integer', description: 'The number of images.' };
  const response = {
    type: 'object',
    properties: {
      object: { const: 'list' },
      data: { type: 'array', items: embedding },
      model: { type: 'string' },
      usage: { type: 'object', properties: { prompt_tokens: tokens, total_tokens: tokens } },
    },
    required: ['object', 'data', 'model', 'usage'],
  };
  const failure = {
    type: 'object',
    properties: {
      error: {
        type: 'object',
        properties: {
          message: { type: 'string' },
          type: { type: 'string' },
          param: { type: ['string', 'null'] },
          code: { type: 'string' },
        },
        required: ['message', 'type', 'param', 'code'],
      },
    },
    required: ['error'],
  };
  const refused = { description: "An error in OpenAI's form.", content: json(failure) };
  return {
    operationId: 'embeddings',
    summary: "Global vectors in the form of OpenAI's clients",
    parameters: [timeoutParameter],
    requestBody: { required: true, content: json(body) },
    responses: {
      200: { description: 'The vectors, in the order of the input.', content: json(response) },
      ...{ '4XX': refused, '5XX': refused },
    },
  };
}

/** GET /metrics, which needs a token where methods do. */
function metricsOperation(): Schema {
  const text = { schema: { type: 'string' } };
  return {
    operationId: 'metrics',
    summary: 'The metrics of the service',
    responses: {
      200: {
        description: "In Prometheus' text format, or as OpenMetrics if `accept` prefers it.",
        content: { 'text/plain': text, 'application/openmetrics-text': text },
      },
      ...errors,
    },
  };
}

function textOperation(operationId: string, summary: string, also: Schema = {}): Schema {
  const text = (description: string): Schema => ({
    description,
    content: { 'text/plain': { schema: { type: 'string' } } },
  });
  const withText = Object.fromEntries(
    Object.entries(also).map(([code, description]) => [code, text(String(description))]),
  );
  return { operationId, summary, security: [], responses: { 200: text('Yes.'), ...withText, '4XX': errors['4XX'] } };
}

/**
 * The description of the HTTP listener as OpenAPI 3.1. It is made of the contract (messages, comments), the table of routes and the
 * schema of OpenAI's request.
 * @param needsToken whether calls need a bearer token
 */
export function openapiDocument(definitions: MethodDefinitions, needsToken: boolean): Schema {
  const schemas = createMessageSchemas(readComments(), BASE);
  const paths: Record<string, Record<string, Schema>> = {};
  for (const [name, route] of Object.entries(routes) as [UnaryMethodName, Route][]) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    const verb = route.verb.toLowerCase();
    paths[path] = { ...paths[path], [verb]: operation(name, definitions[name] as AnyDefinition, route, schemas) };
  }
  paths[EMBEDDINGS_PATH] = { post: embeddingsOperation() };
  paths['/healthz'] = { get: textOperation('healthz', 'Whether the process answers') };
  paths['/readyz'] = {
    get: textOperation('readyz', 'Whether the service accepts requests', { 503: 'No; the text lists the problems.' }),
  };
  paths['/metrics'] = { get: metricsOperation() };
  return {
    openapi: '3.1.0',
    info: {
      title: 'vicregl',
      version: packageVersion(),
      description: 'Embeddings, dense features and matches of images. The messages are those of gRPC in proto3 JSON.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: needsToken ? [{ token: [] }] : [],
    paths,
    components: {
      schemas: { ...schemas.schemas, Status: statusOf(schemas, definitions) },
      responses: { Error: { description: 'An error.', content: json({ $ref: `${BASE}Status` }) } },
      ...(needsToken && { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } }),
    },
  };
}

/** The schema of an error, also if no message of the routes refers to it. */
function statusOf(schemas: MessageSchemas, definitions: MethodDefinitions): Schema {
  schemas.ref(messageType(definitions.EmbedBatch.requestType).root.lookupType('google.rpc.Status'));
  return schemas.schemas['Status']!;
}
