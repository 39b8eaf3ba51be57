import type protobuf from 'protobufjs';
import { messageFromJson, type PlainMessage } from '../../proto/json/fromJson.js';
import { addPaths, type PathValue } from '../../proto/json/fromPaths.js';
import { JsonError, type JsonLimits } from '../../proto/json/jsonError.js';
import { parseJson } from '../../proto/json/parseJson.js';
import { invalid } from '../api/wire/fields.js';
import { ServeError } from '../call/serveError.js';
import { readForm } from './multipart.js';

/** Maximum nesting of a JSON body. */
const JSON_DEPTH = 32;

/** Of an entry of a message, as in `entryCounter`. */
const VALUES_OF_AN_ENTRY = 8;

/** The field of a message that a file stands for. */
const carriers = { Image: 'encoded', MatchSide: 'image', Mask: 'png' } as const;

/** Limits of a JSON body. @param messageEntries maximum entries of the message */
export function jsonLimits(messageEntries: number): JsonLimits {
  return { depth: JSON_DEPTH, values: messageEntries * VALUES_OF_AN_ENTRY };
}

/** What a request says of its message. */
export interface RequestParts {
  /** `content-type`, if it has a body. */
  readonly contentType: string | undefined;
  readonly body: Buffer;
  /** Values of the query and of the path. */
  readonly query: readonly PathValue[];
  /** The field that a body means that is an image. */
  readonly imageField: string | undefined;
}

function wrongType(type: string, imageField: string | undefined): ServeError {
  const raw = imageField === undefined ? '' : ', or the bytes of an image as image/jpeg or application/octet-stream';
  return new ServeError(
    'unsupported_media_type',
    `the content-type ${type.slice(0, 100) || '(none)'} is not read here; send application/json, multipart/form-data${raw}`,
  );
}

/** A JSON body, which is an object. */
function objectIn(bytes: Buffer, limits: JsonLimits): Record<string, unknown> {
  const value = parseJson(bytes, limits);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid('the body is JSON, but not an object; send the fields of the request, such as {"image": {...}}');
}

/** An error of a message in JSON as one of the service. */
export function asServeError(error: unknown): unknown {
  if (!(error instanceof JsonError)) return error;
  return error.tooLarge ? new ServeError('too_large', error.message) : invalid(error.message);
}

/**
 * The request message of a body in any of its forms: JSON, a multipart form with files, or the bytes of an image. Values of the query
 * are added to it.
 * @throws ServeError `invalid_argument` naming the field; `unsupported_media_type`; `too_large` for a form of too many parts.
 */
export async function requestMessage(
  type: protobuf.Type,
  { contentType = '', body, query, imageField }: RequestParts,
  limits: JsonLimits,
): Promise<PlainMessage> {
  const media = contentType.split(';')[0]!.trim().toLowerCase();
  try {
    let tree: Record<string, unknown> = {};
    let files: readonly PathValue[] = [];
    if (media === 'application/json' || media.endsWith('+json')) tree = objectIn(body, limits);
    else if (media === 'multipart/form-data') {
      const { values, json } = await readForm(contentType, body);
      if (json) tree = objectIn(json, limits);
      files = values;
    } else if (body.byteLength > 0 || media !== '') {
      const isImage = media.startsWith('image/') || media === 'application/octet-stream';
      if (!isImage || imageField === undefined) throw wrongType(media, imageField);
      files = [[imageField, body]];
    }
    addPaths(type, tree, [...files, ...query], carriers);
    return messageFromJson(type, tree);
  } catch (error) {
    throw asServeError(error);
  }
}
