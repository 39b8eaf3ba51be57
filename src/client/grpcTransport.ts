import { loadVicreglService } from '../proto/load.js';
import { mapMethods } from '../proto/methods.js';
import { duplexStream, serverStream, unary } from './grpcCalls.js';
import { channelSecurity, type SecurityOptions } from './security.js';
import { traceContextInterceptor } from './traceContext.js';
import { type AnyCall, methodCalls, type Transport } from './transport.js';
import { uint32 } from './uint32.js';
import { VicreglError } from './vicreglError.js';

export interface GrpcTransportOptions extends SecurityOptions {
  /** HOST:PORT, or any name that gRPC resolves. */
  readonly address: string;
  /** Deadline of a call in ms. */
  readonly deadlineMs: number;
  /** Largest message to receive in bytes. */
  readonly maxMessageBytes: number;
}

/** Bytes of a message in addition to its tensor: a few hundred, with a margin. */
const MESSAGE_OVERHEAD = 4096;

/**
 * A transport over gRPC.
 * @throws VicreglError `INVALID_ARGUMENT` for a maxMessageBytes that is not a whole number, or unusable security options.
 */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  const { address, deadlineMs, maxMessageBytes } = options;
  const Client = loadVicreglService();
  const security = channelSecurity(address, options);
  const client = new Client(address, security.credentials, {
    ...security.options,
    interceptors: [...security.interceptors, traceContextInterceptor()],
    'grpc.max_receive_message_length': uint32('maxMessageBytes', maxMessageBytes),
    // The server limits what clients send, and its error names the limit.
    'grpc.max_send_message_length': -1,
  });
  const calls = mapMethods<AnyCall>(Client.service, {
    unary: (definition) => unary(client, definition, deadlineMs),
    serverStream: (definition) => serverStream(client, definition, deadlineMs),
    itemStream: (definition) => duplexStream(client, definition),
  });
  return {
    ...methodCalls(calls),
    maxResponseBytes: Math.max(0, maxMessageBytes - MESSAGE_OVERHEAD),
    waitForReady: (timeoutMs) =>
      new Promise((resolve, reject) => {
        client.waitForReady(Date.now() + timeoutMs, (error) => {
          if (!error) resolve();
          else reject(new VicreglError('UNAVAILABLE', `no service answered at ${address} within ${timeoutMs} ms`));
        });
      }),
    async close() {
      client.close();
    },
  };
}
