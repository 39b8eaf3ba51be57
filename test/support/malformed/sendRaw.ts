import type { Client } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { loadInferenceService, loadVicreglService } from '../../../src/proto/load.js';
import type { MalformedCase } from './malformedCase.js';

interface RawAnswer {
  readonly status?: { readonly code: number; readonly message: string } | null;
  readonly results?: readonly { readonly status?: RawAnswer['status'] }[];
}

interface Definition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  responseDeserialize(bytes: Buffer): RawAnswer;
}

/** The methods of both services, which have no name in common. */
const methods = {
  ...loadVicreglService().service,
  ...loadInferenceService().service,
} as unknown as Readonly<Record<string, Definition>>;

const pass = (bytes: Buffer): Buffer => bytes;

export interface RawOutcome {
  /** Name of the gRPC status. */
  readonly code: string;
  readonly details: string;
}

/** The status of the first failed item of an answer. */
function itemFailure({ status: own, results = [] }: RawAnswer): RawOutcome | undefined {
  const found = own ?? results.find((result) => result.status)?.status;
  return found ? { code: status[found.code]!, details: found.message } : undefined;
}

/** The messages to send. */
export type RawRequest = Pick<MalformedCase, 'method' | 'bytes' | 'further'>;

/**
 * Sends messages unchanged.
 * @param cancelAfterMs the call is cancelled after this time in milliseconds
 * @returns the status of the call, or of the first failed item if the call itself succeeds
 */
export function sendRaw(
  channel: Client,
  { method, bytes, further = [] }: RawRequest,
  cancelAfterMs?: number,
): Promise<RawOutcome> {
  const { path, requestStream, responseStream, responseDeserialize } = methods[method]!;
  return new Promise((resolve) => {
    let failure: RawOutcome | undefined;
    const take = (answer: Buffer | undefined): void => {
      if (answer !== undefined) failure ??= itemFailure(responseDeserialize(answer));
    };
    const sending = () => {
      const stream = channel.makeBidiStreamRequest(path, pass, pass);
      for (const message of [bytes, ...further]) stream.write(message);
      stream.end();
      return stream;
    };
    const open = () => {
      if (requestStream) return sending();
      if (responseStream) return channel.makeServerStreamRequest(path, pass, pass, bytes);
      return channel.makeUnaryRequest(path, pass, pass, bytes, (_, answer) => take(answer));
    };
    const call = open();
    // The error has the same status.
    if ('read' in call) call.on('data', take).on('error', () => {});
    call.on('status', ({ code, details }) => {
      const end = (): void => resolve(code === status.OK && failure ? failure : { code: status[code]!, details });
      // Messages that arrived before the status may not have been read yet.
      if (code === status.OK && 'read' in call) call.once('end', end);
      else end();
    });
    if (cancelAfterMs !== undefined) setTimeout(() => call.cancel(), cancelAfterMs);
  });
}
