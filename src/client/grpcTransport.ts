import { type ChannelCredentials, type ClientUnaryCall, credentials, type ServiceError } from '@grpc/grpc-js';
import { loadVicreglService } from '../proto/load.js';
import type { CallOptions, Transport, Unary } from './transport.js';
import { uint32 } from './uint32.js';
import { VicreglError } from './vicreglError.js';

export interface GrpcTransportOptions {
  /** HOST:PORT, or any name that gRPC resolves. */
  readonly address: string;
  /** Longest wait for an answer in ms. */
  readonly deadlineMs: number;
  /** Largest message to receive in bytes. */
  readonly maxMessageBytes: number;
  /** Default: no TLS. */
  readonly credentials?: ChannelCredentials;
}

/** A message holds its tensor and some hundred bytes more. */
const MESSAGE_OVERHEAD = 4096;

/** grpc-js turns a longer deadline into a 32-bit number of ms, which wraps and passes at once. */
const MAX_DEADLINE_MS = 2 ** 31 - 1;

type Start<Request, Response> = (
  request: Request,
  options: { deadline: number },
  callback: (error: ServiceError | null, response?: Response) => void,
) => ClientUnaryCall;

function unary<Request, Response>(
  start: Start<Request, Response>,
  defaultDeadlineMs: number,
): Unary<Request, Response> {
  return (request, { signal, deadlineMs = defaultDeadlineMs }: CallOptions) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(new VicreglError('CANCELLED', 'the call was aborted before it began', { cause: signal.reason }));
        return;
      }
      const onAbort = () => call.cancel();
      const deadline = Date.now() + Math.min(deadlineMs, MAX_DEADLINE_MS);
      const call = start(request, { deadline }, (error, response) => {
        signal?.removeEventListener('abort', onAbort);
        if (error) reject(error);
        else resolve(response as Response);
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
}

/**
 * Reaches the service over gRPC.
 * @throws VicreglError `INVALID_ARGUMENT` for a limit on messages that is no whole number.
 */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  const { address, deadlineMs, maxMessageBytes } = options;
  const Client = loadVicreglService();
  const client = new Client(address, options.credentials ?? credentials.createInsecure(), {
    'grpc.max_receive_message_length': uint32('maxMessageBytes', maxMessageBytes),
    // What may be sent is the server's to say, and its refusal names its limit.
    'grpc.max_send_message_length': -1,
  });
  return {
    embed: unary(client.embed.bind(client), deadlineMs),
    extractFeatures: unary(client.extractFeatures.bind(client), deadlineMs),
    match: unary(client.match.bind(client), deadlineMs),
    getModel: unary(client.getModel.bind(client), deadlineMs),
    maxResponseBytes: Math.max(0, maxMessageBytes - MESSAGE_OVERHEAD),
    waitForReady: (timeoutMs) =>
      new Promise((resolve, reject) => {
        client.waitForReady(Date.now() + timeoutMs, (error) => {
          if (!error) resolve();
          else reject(new VicreglError('UNAVAILABLE', `no service answers at ${address} within ${timeoutMs} ms`));
        });
      }),
    async close() {
      client.close();
    },
  };
}
