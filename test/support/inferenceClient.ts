import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { ModelInferRequest } from '../../src/proto/generated/inference/ModelInferRequest.js';
import { loadInferenceService } from '../../src/proto/load.js';
import type { InferenceMessagesOf, InferenceMethodName } from '../../src/proto/methods.js';
import { decodeFacts, type ErrorFacts } from '../../src/proto/statusDetails.js';

/** A client of the Open Inference Protocol as others make it: from the .proto file alone. */

/** The error of a call. */
export interface InferenceFailure {
  /** Name of the gRPC status. */
  readonly code: string;
  readonly details: string;
  readonly facts: ErrorFacts | undefined;
}

export interface CallOptions {
  /** Default: a minute. */
  readonly deadlineMs?: number;
  readonly token?: string;
  /** Further metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface InferenceClient {
  /** @throws ServiceError of grpc-js */
  call<M extends InferenceMethodName>(
    method: M,
    request: InferenceMessagesOf<M>['request'],
    options?: CallOptions,
  ): Promise<InferenceMessagesOf<M>['responseRead']>;
  /** The error of a call that has to fail. */
  failure<M extends InferenceMethodName>(
    method: M,
    request: InferenceMessagesOf<M>['request'],
    options?: CallOptions,
  ): Promise<InferenceFailure>;
  close(): void;
}

export function createInferenceClient(address: string): InferenceClient {
  const Client = loadInferenceService();
  const client = new Client(address, credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });

  function call(
    method: string,
    request: object,
    { deadlineMs = 60_000, token, metadata: further = {} }: CallOptions = {},
  ): Promise<never> {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(further)) metadata.set(name, value);
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = Client.service[method]!;
      const serialize = requestSerialize as (value: object) => Buffer;
      const deserialize = responseDeserialize as (bytes: Buffer) => never;
      const options = { deadline: Date.now() + deadlineMs };
      client.makeUnaryRequest(path, serialize, deserialize, request, metadata, options, (error, response) =>
        error ? reject(error) : resolve(response as never),
      );
    });
  }

  return {
    call,
    async failure(method, request, options) {
      const failed = await call(method, request, options).then(
        () => undefined,
        (error: ServiceError) => error,
      );
      if (failed === undefined) throw new Error(`${method} succeeded`);
      const [details] = failed.metadata.get('grpc-status-details-bin');
      return {
        code: status[failed.code]!,
        details: failed.details,
        facts: details === undefined ? undefined : decodeFacts(details as Buffer),
      };
    },
    close: () => client.close(),
  };
}

/** The elements of a BYTES tensor in raw form: each after its length in four bytes, little-endian. */
export function rawBytes(elements: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.byteLength);
      return [length, element];
    }),
  );
}

/** A request for encoded images in raw form. */
export function ofFiles(files: readonly Uint8Array[], further: ModelInferRequest = {}): ModelInferRequest {
  return {
    inputs: [{ name: 'image', datatype: 'BYTES', shape: [files.length] }],
    rawInputContents: [rawBytes(files)],
    ...further,
  };
}

/** A request for pixels [B, H, W, 3] in raw form. */
export function ofPixels(
  shape: readonly number[],
  pixels: Uint8Array,
  further: ModelInferRequest = {},
): ModelInferRequest {
  return {
    inputs: [{ name: 'pixels', datatype: 'UINT8', shape: [...shape] }],
    rawInputContents: [Buffer.from(pixels)],
    ...further,
  };
}
