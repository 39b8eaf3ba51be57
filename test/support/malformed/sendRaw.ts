import type { Client } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { loadVicreglService } from '../../../src/proto/load.js';
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

const service = loadVicreglService().service as unknown as Readonly<Record<string, Definition>>;

const pass = (bytes: Buffer): Buffer => bytes;

export interface RawOutcome {
  /** Name of the gRPC status. */
  readonly code: string;
  readonly details: string;
}

/** Why the first item of an answer failed that did. */
function itemFailure({ status: own, results = [] }: RawAnswer): RawOutcome | undefined {
  const found = own ?? results.find((result) => result.status)?.status;
  return found ? { code: status[found.code]!, details: found.message } : undefined;
}

/** What is sent. */
export type RawRequest = Pick<MalformedCase, 'method' | 'bytes' | 'further'>;

/**
 * Sends messages as they are.
 * @param giveUpMs the call is cancelled after so long
 * @returns the status of the call, or of the first item that failed in one that was answered
 */
export function sendRaw(
  channel: Client,
  { method, bytes, further = [] }: RawRequest,
  giveUpMs?: number,
): Promise<RawOutcome> {
  const { path, requestStream, responseStream, responseDeserialize } = service[method]!;
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
    // An error is the status as well.
    if ('read' in call) call.on('data', take).on('error', () => {});
    call.on('status', ({ code, details }) => {
      const end = (): void => resolve(code === status.OK && failure ? failure : { code: status[code]!, details });
      // Messages that came before the status may still wait to be read.
      if (code === status.OK && 'read' in call) call.once('end', end);
      else end();
    });
    if (giveUpMs !== undefined) setTimeout(() => call.cancel(), giveUpMs);
  });
}
