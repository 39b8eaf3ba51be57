import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import { loadOptions } from './loadOptions.js';

/** A limit of the service, by its key in the configuration. */
export interface MetLimit {
  readonly name: string;
  readonly value: number;
}

/** The details of an error: its ErrorInfo, and its RetryInfo if it has one. */
export interface ErrorFacts {
  /** Stable name of the cause. */
  readonly reason: string;
  readonly limit?: MetLimit;
  /** Minimum seconds until the same request may succeed; absent if a retry makes no sense. */
  readonly retryAfterSeconds?: number;
}

/** The details of an error for programs, in gRPC's richer error model (google.rpc.Status). */
export interface StatusDetails {
  /** gRPC status code. */
  readonly code: number;
  readonly details: string;
  /** Stable name of the cause, UPPER_SNAKE_CASE. */
  readonly reason: string;
  /** The limit that was reached, if any. */
  readonly limit?: MetLimit;
  /** Minimum seconds until the same request may succeed; absent if a retry makes no sense. */
  readonly retryAfterSeconds?: number;
}

/** Key of the trailing metadata that carries the details. */
export const statusDetailsKey = 'grpc-status-details-bin';

/** The domain that defines the reasons. */
export const errorDomain = 'vicregl';

export const URL_PREFIX = 'type.googleapis.com/';

/** A packed message; proto-loader spells this field of google.protobuf.Any in this way. */
interface Any {
  readonly type_url: string;
  readonly value: Uint8Array | string;
}

type Codec<T> = Pick<MessageTypeDefinition<T, T>, 'serialize' | 'deserialize'>;

interface Codecs {
  readonly Status: Codec<{ readonly code: number; readonly message: string; readonly details: readonly Any[] }>;
  readonly ErrorInfo: Codec<{
    readonly reason: string;
    readonly domain: string;
    readonly metadata: Readonly<Record<string, string>>;
  }>;
  readonly RetryInfo: Codec<{ readonly retryDelay: { readonly seconds: number; readonly nanos: number } | null }>;
}

let loaded: Codecs | undefined;

/** Read once per process, when the first error is sent or received. */
function codecs(): Codecs {
  if (loaded === undefined) {
    const found = loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto'], loadOptions);
    const codec = <T>(name: string) => found[`google.rpc.${name}`] as unknown as Codec<T>;
    loaded = { Status: codec('Status'), ErrorInfo: codec('ErrorInfo'), RetryInfo: codec('RetryInfo') };
  }
  return loaded;
}

function packed(name: string, value: Uint8Array): Any {
  return { type_url: `${URL_PREFIX}google.rpc.${name}`, value };
}

/** Seconds as google.protobuf.Duration, rounded up to milliseconds: a retry that is too early fails. */
export function durationOf(seconds: number): { seconds: number; nanos: number } {
  const ms = Math.ceil(seconds * 1000);
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

/** An error as google.rpc.Status: with an ErrorInfo, and a RetryInfo if a retry makes sense. */
export interface StatusMessage {
  readonly code: number;
  readonly message: string;
  readonly details: Any[];
}

/** Keys of the ErrorInfo's metadata. */
export function limitMetadata(limit: MetLimit | undefined): Record<string, string> {
  return limit === undefined ? {} : { limit: limit.name, value: String(limit.value) };
}

/** An error as a message: the status of one item of a batch or a stream. */
export function statusMessage({ code, details, reason, limit, retryAfterSeconds }: StatusDetails): StatusMessage {
  const { ErrorInfo, RetryInfo } = codecs();
  const info = packed(
    'ErrorInfo',
    ErrorInfo.serialize({ reason, domain: errorDomain, metadata: limitMetadata(limit) }),
  );
  const retry =
    retryAfterSeconds === undefined
      ? []
      : [packed('RetryInfo', RetryInfo.serialize({ retryDelay: durationOf(retryAfterSeconds) }))];
  return { code, message: details, details: [info, ...retry] };
}

/** The value of `grpc-status-details-bin`. */
export function encodeStatusDetails(status: StatusDetails): Buffer {
  return codecs().Status.serialize(statusMessage(status));
}

/** The content of `grpc-status-details-bin`; undefined if it has no details of this domain or is not a Status. */
export function decodeFacts(bytes: Buffer): ErrorFacts | undefined {
  try {
    return factsIn(codecs().Status.deserialize(bytes).details);
  } catch {
    // A proxy may have written something else there; the status itself is still valid.
    return undefined;
  }
}

/** The delay of the RetryInfo in the details, in seconds. */
function retryIn(details: readonly Any[]): number | undefined {
  const retry = details.find(({ type_url }) => type_url === `${URL_PREFIX}google.rpc.RetryInfo`);
  if (retry === undefined) return undefined;
  const { retryDelay } = codecs().RetryInfo.deserialize(Buffer.from(retry.value as Uint8Array));
  return retryDelay === null ? undefined : retryDelay.seconds + retryDelay.nanos / 1e9;
}

/** The details of a status; undefined if it has none of this domain. */
export function factsIn(details: readonly object[]): ErrorFacts | undefined {
  const { ErrorInfo } = codecs();
  const all = details as readonly Any[];
  try {
    for (const { type_url, value } of all) {
      if (type_url !== `${URL_PREFIX}google.rpc.ErrorInfo`) continue;
      const { reason, domain, metadata } = ErrorInfo.deserialize(Buffer.from(value as Uint8Array));
      if (domain !== errorDomain) continue;
      const { limit: name, value: most } = metadata;
      const retryAfterSeconds = retryIn(all);
      return {
        reason,
        ...(name !== undefined && { limit: { name, value: Number(most) } }),
        ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      };
    }
  } catch {
    // Unreadable details are ignored.
  }
  return undefined;
}
