import type { ChannelOptions, ServiceConfig } from '@grpc/grpc-js';
import { serviceName } from '../proto/load.js';
import type { AnyDefinition, MethodDefinitions } from '../proto/methods.js';
import { bool } from './bool.js';
import { protocolName } from './protocolNames.js';
import { uint32 } from './uint32.js';
import { VicreglError } from './vicreglError.js';

/** How a client spreads its calls over the replicas of a service, and what it does when one of them is lost. */
export interface BalancingOptions {
  /**
   * `round_robin` (default): a connection to every address of the name, calls in turn. `pick_first`: one connection, all calls to the
   * same replica, which is what matches by stored features need.
   */
  readonly loadBalancing?: 'round_robin' | 'pick_first';
  /**
   * Calls that fail as UNAVAILABLE are sent again, at most twice, to the next replica. One whose connection is cut while its only
   * response arrives starts over, once. Default true. Streams of requests are not sent again: their caller sends the unanswered items.
   */
  readonly retries?: boolean;
  /** Calls wait for a connection until their deadline, instead of failing while no replica can be reached. Default false. */
  readonly waitForReady?: boolean;
  /** Interval in ms of pings while a call is open, by which a peer that vanished is noticed. At most 2^31 - 1. Default 30 s; Infinity: no pings. */
  readonly keepaliveMs?: number;
  /** Time in ms to answer a ping; then the connection is closed. At most 2^31 - 1. Default 10 s. */
  readonly keepaliveTimeoutMs?: number;
  /** Options of the channel by their names in gRPC, such as `grpc.dns_min_time_between_resolutions_ms`; they override the client's own. */
  readonly channelOptions?: Readonly<Record<string, string | number>>;
}

const DEFAULT_KEEPALIVE_MS = 30_000;
const DEFAULT_KEEPALIVE_TIMEOUT_MS = 10_000;

/** Attempts of one call. Two replicas may be lost at the same time, as in a rolling update. */
const ATTEMPTS = 3;

/** Delays of 0.1 and 0.4 s, to which grpc-js adds a jitter of 20 %. The next attempt goes to another replica, so there is little to wait for. */
const BACK_OFF = { initialBackoff: '0.1s', maxBackoff: '2s', backoffMultiplier: 4 };

/**
 * Each failed attempt takes a token and each success returns a tenth of one; no call is retried while fewer than half are left. A lost
 * connection with all of its 128 calls (the default of `callsPerConnection`) thus leaves retries possible, and a service that fails at
 * everything gets at most a tenth more calls.
 */
const THROTTLING = { maxTokens: 512, tokenRatio: 0.1 };

/**
 * Bytes of one call's messages, and of all calls', that are kept for a retry. With more than that a call is not retried; by gRPC's
 * default, 1 MiB, a photograph would be.
 */
const RETRY_BYTES = { perCall: 128 * 1024 * 1024, all: 512 * 1024 * 1024 };

/**
 * Whether gRPC may send a call again. The contract says which methods may be repeated (`idempotency_level`). A stream of requests has no
 * retry: its items come from an iterable of the caller, which cannot be read twice, and gRPC would have to keep all of them.
 */
export function isRetried({ options, requestStream }: AnyDefinition): boolean {
  return options.idempotency_level !== 'IDEMPOTENCY_UNKNOWN' && !requestStream;
}

/** The policies by their names in gRPC. */
const policies = { round_robin: 'round_robin', pick_first: 'pick_first' } as const;

/** Timers of Node with a longer interval would run at once. */
const MAX_INTERVAL_MS = 2 ** 31 - 1;

/** @throws VicreglError `INVALID_ARGUMENT` as `protocolName` and `bool`. */
function serviceConfig(
  methods: MethodDefinitions,
  { loadBalancing = 'round_robin', retries = true }: BalancingOptions,
): ServiceConfig {
  const policy = protocolName('loadBalancing', policies, loadBalancing);
  const retried = Object.entries(methods).filter(([, definition]) => isRetried(definition as AnyDefinition));
  return {
    loadBalancingConfig: [{ [policy]: {} }],
    methodConfig: bool('retries', retries)
      ? [
          {
            name: retried.map(([method]) => ({ service: serviceName, method })),
            retryPolicy: { maxAttempts: ATTEMPTS, ...BACK_OFF, retryableStatusCodes: ['UNAVAILABLE'] },
          },
        ]
      : [],
    ...(retries && { retryThrottling: THROTTLING }),
  };
}

/** @throws VicreglError `INVALID_ARGUMENT` for an interval that is neither a whole number of ms below 2^31 nor Infinity. */
function keepalive(options: BalancingOptions): ChannelOptions {
  const { keepaliveMs = DEFAULT_KEEPALIVE_MS, keepaliveTimeoutMs = DEFAULT_KEEPALIVE_TIMEOUT_MS } = options;
  if (keepaliveMs === Number.POSITIVE_INFINITY) return {};
  if (keepaliveMs === 0) {
    throw new VicreglError('INVALID_ARGUMENT', 'keepaliveMs: 0 is not an interval; use Infinity for no pings');
  }
  if (keepaliveTimeoutMs === 0) {
    throw new VicreglError('INVALID_ARGUMENT', 'keepaliveTimeoutMs: no ping is answered in 0 ms; give a positive time');
  }
  return {
    'grpc.keepalive_time_ms': uint32('keepaliveMs', keepaliveMs, MAX_INTERVAL_MS),
    'grpc.keepalive_timeout_ms': uint32('keepaliveTimeoutMs', keepaliveTimeoutMs, MAX_INTERVAL_MS),
  };
}

/** The options of a client's channels. Streams of requests have a channel of their own. */
export interface BalancedChannels {
  readonly calls: ChannelOptions;
  /**
   * Without the large retry buffer: grpc-js takes messages as sent as soon as they are in it, so a stream would read far ahead of what
   * the service takes.
   */
  readonly itemStreams: ChannelOptions;
}

/** @throws VicreglError `INVALID_ARGUMENT` as `keepalive` and `serviceConfig`. */
export function balancedChannels(methods: MethodDefinitions, options: BalancingOptions): BalancedChannels {
  const shared: ChannelOptions = {
    ...keepalive(options),
    'grpc.service_config': JSON.stringify(serviceConfig(methods, options)),
    // A TXT record could replace the service config; grpc-js would ask for one at each resolution.
    'grpc.service_config_disable_resolution': 1,
  };
  const { retries = true, channelOptions } = options;
  const buffers = {
    'grpc.per_rpc_retry_buffer_size': RETRY_BYTES.perCall,
    'grpc.retry_buffer_size': RETRY_BYTES.all,
  };
  return {
    calls: { ...shared, ...(retries && buffers), ...channelOptions },
    itemStreams: { ...shared, ...channelOptions },
  };
}
