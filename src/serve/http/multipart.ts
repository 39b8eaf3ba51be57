import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { PathValue } from '../../proto/json/fromPaths.js';
import { invalid } from '../api/wire/fields.js';
import { ServeError } from '../call/serveError.js';

/** Maximum parts of a form. */
const MAX_PARTS = 64;
/** Maximum bytes of a part that is not a file and not JSON. */
const MAX_VALUE_BYTES = 65_536;
/** Maximum bytes of the name of a part. */
const MAX_NAME_BYTES = 200;

/** A form: fields of the request message by their paths, and one JSON object. */
export interface Form {
  readonly values: readonly PathValue[];
  /** The part whose content type is JSON. */
  readonly json: Buffer | undefined;
}

/**
 * Reads a multipart form. A part with a file name, or of an image's content type, is a file.
 * @throws ServeError `invalid_argument` for a form that is damaged or cut, `too_large` for one with too many parts.
 */
export async function readForm(contentType: string, body: Buffer): Promise<Form> {
  const values: PathValue[] = [];
  let json: Buffer | undefined;
  await new Promise<void>((resolve, reject) => {
    let failed = false;
    const fail = (error: Error): void => {
      failed = true;
      reject(error);
    };
    const damaged = (error: unknown): void =>
      fail(
        invalid(`the body is not a whole multipart form: ${error instanceof Error ? error.message : String(error)}`),
      );
    const tooMany = (): void =>
      fail(new ServeError('too_large', `the form has more than ${MAX_PARTS} parts; send them in several requests`));
    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers: { 'content-type': contentType },
        limits: {
          parts: MAX_PARTS,
          files: MAX_PARTS,
          fields: MAX_PARTS,
          fieldSize: MAX_VALUE_BYTES,
          fieldNameSize: MAX_NAME_BYTES,
          headerPairs: 16,
          headerSize: 4096,
          fileSize: body.byteLength,
        },
        isPartAFile: (_, type, fileName) => fileName !== undefined || (type !== undefined && type !== 'text/plain'),
      });
    } catch (error) {
      damaged(error);
      return;
    }
    parser.on('error', damaged);
    for (const limit of ['partsLimit', 'filesLimit', 'fieldsLimit'] as const) parser.on(limit, tooMany);
    // The types of the parser say that a part has a name.
    const nameless = (name: string | undefined): boolean => {
      if (name === undefined) fail(invalid('a part of the form has no name'));
      return name === undefined;
    };
    parser.on('field', (name, value, nameCut, valueCut) => {
      if (nameless(name)) return;
      if (nameCut) fail(invalid(`a part of the form has a name of more than ${MAX_NAME_BYTES} bytes`));
      else if (valueCut) fail(invalid(`${name}: has more than ${MAX_VALUE_BYTES} bytes; send it as a file or as JSON`));
      else values.push([name, value]);
    });
    parser.on('file', (name, stream, _fileName, _encoding, type) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', damaged);
      stream.on('end', () => {
        const bytes = Buffer.concat(chunks);
        if (type !== 'application/json' && nameless(name)) return;
        if (type !== 'application/json') values.push([name, bytes]);
        else if (json) fail(invalid('the form has two parts of JSON; send one'));
        else json = bytes;
      });
    });
    parser.on('finish', () => {
      if (!failed) resolve();
    });
    parser.end(body);
  });
  return { values, json };
}
