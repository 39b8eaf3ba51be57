import type { Client } from '@grpc/grpc-js';
import { loadVicreglService } from '../proto/load.js';
import { mapMethods } from '../proto/methods.js';
import { type BalancedChannels, type BalancingOptions, balancedChannels } from './balancing.js';
import { duplexStream, serverStream, unary } from './grpcCalls.js';
import { channelSecurity, type SecurityOptions } from './security.js';
import { traceContextInterceptor } from './traceContext.js';
import { type AnyCall, methodCalls, type Transport } from './transport.js';
import { uint32 } from './uint32.js';
import { VicreglError } from './vicreglError.js';

export interface GrpcTransportOptions extends SecurityOptions, BalancingOptions {
  /** HOST:PORT, or any name that gRPC resolves, such as dns:///HOST:PORT. */
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
 * @throws VicreglError `INVALID_ARGUMENT` for a maxMessageBytes or a keepalive that is not a whole number, or unusable security options.
 */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  const { address, deadlineMs, maxMessageBytes, waitForReady = false } = options;
  const VicreglService = loadVicreglService();
  const security = channelSecurity(address, options);
  const channels = balancedChannels(VicreglService.service, options);
  const open = (balancing: BalancedChannels[keyof BalancedChannels]): Client =>
    new VicreglService(address, security.credentials, {
      ...security.options,
      interceptors: [...security.interceptors, traceContextInterceptor()],
      'grpc.max_receive_message_length': uint32('maxMessageBytes', maxMessageBytes),
      // The server limits what clients send, and its error names the limit.
      'grpc.max_send_message_length': -1,
      ...balancing,
    });
  const client = open(channels.calls);
  // Opened at the first stream: most clients have none.
  let streams: Client | undefined;
  const streamClient = (): Client => {
    streams ??= open(channels.itemStreams);
    return streams;
  };
  const defaults = { deadlineMs, waitForReady };
  const calls = mapMethods<AnyCall>(VicreglService.service, {
    unary: (definition) => unary(client, definition, defaults),
    serverStream: (definition) => serverStream(client, definition, defaults),
    itemStream: (definition) => duplexStream(streamClient, definition, defaults),
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
      streams?.close();
    },
  };
}
