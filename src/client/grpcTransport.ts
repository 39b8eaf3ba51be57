import { type Client, connectivityState } from '@grpc/grpc-js';
import { loadVicreglService } from '../proto/load.js';
import { mapMethods } from '../proto/methods.js';
import { type BalancedChannels, type BalancingOptions, balancedChannels } from './balancing.js';
import { bool } from './bool.js';
import { durationMs, MAX_DEADLINE_MS } from './deadline.js';
import { closedError, duplexStream, serverStream, unary } from './grpcCalls.js';
import { channelSecurity, type SecurityOptions } from './security.js';
import { StartingCalls } from './startingCalls.js';
import { traceContextInterceptor } from './traceContext.js';
import { type AnyCall, methodCalls, type Transport } from './transport.js';
import { uint32 } from './uint32.js';
import { VicreglError } from './vicreglError.js';
import { whenAborted } from './whenAborted.js';

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
 * Resolves when the channel of a client is connected.
 * @param timeoutMs may be Infinity
 * @param closed aborted before the client is closed, whose channel would connect again when asked for its state
 * @throws VicreglError `UNAVAILABLE` after the timeout, `FAILED_PRECONDITION` when the client is or becomes closed.
 */
function untilReady(client: Client, address: string, timeoutMs: number, closed: AbortSignal): Promise<void> {
  const late = () => new VicreglError('UNAVAILABLE', `no service answered at ${address} within ${timeoutMs} ms`);
  const deadline = durationMs('timeoutMs', timeoutMs) + Date.now();
  if (closed.aborted) return Promise.reject(closedError());
  return new Promise((resolve, reject) => {
    let ended = false;
    const end = (settle: () => void): void => {
      if (ended) return;
      ended = true;
      stopListening();
      settle();
    };
    const stopListening = whenAborted(closed, () => end(() => reject(closedError())));
    const check = (): void => {
      if (ended) return;
      const state = client.getChannel().getConnectivityState(true);
      if (state === connectivityState.READY) end(resolve);
      else if (Date.now() >= deadline) end(() => reject(late()));
      // The deadline holds the process, which the channel alone does not.
      else client.getChannel().watchConnectivityState(state, Math.min(deadline, Date.now() + MAX_DEADLINE_MS), check);
    };
    check();
  });
}

/**
 * A transport over gRPC.
 * @throws VicreglError `INVALID_ARGUMENT` for an option whose value cannot be used, such as a deadline that is no number.
 */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  const { address, maxMessageBytes, waitForReady = false, retries = true } = options;
  const deadlineMs = durationMs('deadlineMs', options.deadlineMs);
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
  const closing = new AbortController();
  const closed = closing.signal;
  const starting = new StartingCalls();
  const streamClient = (): Client => {
    streams ??= open(channels.itemStreams);
    return streams;
  };
  const defaults = { deadlineMs, waitForReady: bool('waitForReady', waitForReady), retries, closed, starting };
  const calls = mapMethods<AnyCall>(VicreglService.service, {
    unary: (definition) => unary(client, definition, defaults),
    serverStream: (definition) => serverStream(client, definition, defaults),
    itemStream: (definition) => duplexStream(streamClient, definition, defaults),
  });
  return {
    ...methodCalls(calls),
    maxResponseBytes: Math.max(0, maxMessageBytes - MESSAGE_OVERHEAD),
    waitForReady: async (timeoutMs) => untilReady(client, address, timeoutMs, closed),
    async close() {
      closing.abort();
      await starting.none();
      client.close();
      streams?.close();
    },
  };
}
