import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import { loadOptions } from './loadOptions.js';

/** A limit of the service, by its key in the configuration. */
export interface MetLimit {
  readonly name: string;
  readonly value: number;
}

/** What the details of an error say: its ErrorInfo, and its RetryInfo where it has one. */
export interface ErrorFacts {
  /** Stable name of the cause. */
  readonly reason: string;
  readonly limit?: MetLimit;
  /** Present where the same request may succeed later: shortest wait in seconds. */
  readonly retryAfterSeconds?: number;
}

/** What programs are told of an error beside its status, in gRPC's richer error model (google.rpc.Status). */
export interface StatusDetails {
  /** gRPC status code. */
  readonly code: number;
  readonly details: string;
  /** Stable name of the cause, UPPER_SNAKE_CASE. */
  readonly reason: string;
  /** The limit that was met, where one was. */
  readonly limit?: MetLimit;
  /** Present where the same request may succeed later: shortest wait in seconds. */
  readonly retryAfterSeconds?: number;
}

/** Key of the trailing metadata that carries the details. */
export const statusDetailsKey = 'grpc-status-details-bin';

/** Who gives the reasons their meaning. */
const DOMAIN = 'vicregl';

const URL_PREFIX = 'type.googleapis.com/';

/** A packed message; proto-loader keeps this name of google.protobuf.Any in its own spelling. */
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

/** Seconds as google.protobuf.Duration, in whole milliseconds and rounded up: a wait that is too short is in vain. */
function duration(seconds: number): { seconds: number; nanos: number } {
  const ms = Math.ceil(seconds * 1000);
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

/** An error as google.rpc.Status: with an ErrorInfo, and a RetryInfo where trying again makes sense. */
export interface StatusMessage {
  readonly code: number;
  readonly message: string;
  readonly details: Any[];
}

/** Keys of the ErrorInfo's metadata. */
function metadataOf(limit: MetLimit | undefined): Record<string, string> {
  return limit === undefined ? {} : { limit: limit.name, value: String(limit.value) };
}

/** An error as a message of its own: the status of one item of a batch or a stream. */
export function statusMessage({ code, details, reason, limit, retryAfterSeconds }: StatusDetails): StatusMessage {
  const { ErrorInfo, RetryInfo } = codecs();
  const info = packed('ErrorInfo', ErrorInfo.serialize({ reason, domain: DOMAIN, metadata: metadataOf(limit) }));
  const retry =
    retryAfterSeconds === undefined
      ? []
      : [packed('RetryInfo', RetryInfo.serialize({ retryDelay: duration(retryAfterSeconds) }))];
  return { code, message: details, details: [info, ...retry] };
}

/** The value of `grpc-status-details-bin`. */
export function encodeStatusDetails(status: StatusDetails): Buffer {
  return codecs().Status.serialize(statusMessage(status));
}

/** What a value of `grpc-status-details-bin` says; undefined where it holds nothing of this domain or is no Status. */
export function decodeFacts(bytes: Buffer): ErrorFacts | undefined {
  try {
    return factsIn(codecs().Status.deserialize(bytes).details);
  } catch {
    // A proxy may have put something else there: the status itself still says what it says.
    return undefined;
  }
}

/** The wait that a RetryInfo among the details asks for, in seconds. */
function retryIn(details: readonly Any[]): number | undefined {
  const retry = details.find(({ type_url }) => type_url === `${URL_PREFIX}google.rpc.RetryInfo`);
  if (retry === undefined) return undefined;
  const { retryDelay } = codecs().RetryInfo.deserialize(Buffer.from(retry.value as Uint8Array));
  return retryDelay === null ? undefined : retryDelay.seconds + retryDelay.nanos / 1e9;
}

/** What the details of a status say; undefined where there is nothing of this domain. */
export function factsIn(details: readonly object[]): ErrorFacts | undefined {
  const { ErrorInfo } = codecs();
  const all = details as readonly Any[];
  try {
    for (const { type_url, value } of all) {
      if (type_url !== `${URL_PREFIX}google.rpc.ErrorInfo`) continue;
      const { reason, domain, metadata } = ErrorInfo.deserialize(Buffer.from(value as Uint8Array));
      if (domain !== DOMAIN) continue;
      const { limit: name, value: most } = metadata;
      const retryAfterSeconds = retryIn(all);
      return {
        reason,
        ...(name !== undefined && { limit: { name, value: Number(most) } }),
        ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      };
    }
  } catch {
    // Details that cannot be read are as good as none.
  }
  return undefined;
}
