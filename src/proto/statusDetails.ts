import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader';
import { loadOptions } from './loadOptions.js';

/** What programs are told of an error beside its status, in gRPC's richer error model (google.rpc.Status). */
export interface StatusDetails {
  /** gRPC status code. */
  readonly code: number;
  readonly details: string;
  /** Stable name of the cause, UPPER_SNAKE_CASE. */
  readonly reason: string;
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
  readonly value: Uint8Array;
}

type Codec<T> = Pick<MessageTypeDefinition<T, T>, 'serialize' | 'deserialize'>;

interface Codecs {
  readonly Status: Codec<{ readonly code: number; readonly message: string; readonly details: readonly Any[] }>;
  readonly ErrorInfo: Codec<{ readonly reason: string; readonly domain: string }>;
  readonly RetryInfo: Codec<{ readonly retryDelay: { readonly seconds: number } | null }>;
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

/** The value of `grpc-status-details-bin`: an ErrorInfo, and a RetryInfo where trying again makes sense. */
export function encodeStatusDetails({ code, details, reason, retryAfterSeconds }: StatusDetails): Buffer {
  const { Status, ErrorInfo, RetryInfo } = codecs();
  const info = packed('ErrorInfo', ErrorInfo.serialize({ reason, domain: DOMAIN }));
  const retry =
    retryAfterSeconds === undefined
      ? []
      : [packed('RetryInfo', RetryInfo.serialize({ retryDelay: { seconds: retryAfterSeconds } }))];
  return Status.serialize({ code, message: details, details: [info, ...retry] });
}

/** The reason in a value of `grpc-status-details-bin`; undefined where it holds none of this domain or is no Status. */
export function decodeReason(bytes: Buffer): string | undefined {
  const { Status, ErrorInfo } = codecs();
  try {
    for (const { type_url, value } of Status.deserialize(bytes).details) {
      if (type_url !== `${URL_PREFIX}google.rpc.ErrorInfo`) continue;
      const { reason, domain } = ErrorInfo.deserialize(Buffer.from(value));
      if (domain === DOMAIN) return reason;
    }
  } catch {
    // A proxy may have put something else there: the status itself still says what it says.
  }
  return undefined;
}
