import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { encodeStatusDetails, statusDetailsKey } from '../../proto/statusDetails.js';
import { type Status, toStatus } from '../errors.js';
import { ServeError } from '../serveError.js';
import type { TokenHolder, TokenStore } from './tokenStore.js';

/** The token of an `authorization: Bearer ...` value; undefined where it is of another form. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w.~+/-]+=*)$/i.exec(authorization ?? '')?.[1];
}

/**
 * Whose call it is.
 * @throws ServeError `unauthenticated` saying what is missing.
 */
export function authenticate(store: TokenStore, authorization: string | undefined): TokenHolder {
  if (authorization === undefined) {
    throw new ServeError('unauthenticated', 'the call has no token; send metadata "authorization: Bearer TOKEN"');
  }
  const token = bearerToken(authorization);
  if (token === undefined) {
    throw new ServeError('unauthenticated', 'authorization is not of the form "Bearer TOKEN"');
  }
  const holder = store.find(token);
  if (holder === undefined) {
    throw new ServeError('unauthenticated', 'the token is not known here; ask whoever runs the service for one');
  }
  return holder;
}

/** @throws ServeError `rate_limited` with the time to wait, when the holder's allowance is spent. */
function spend(holder: TokenHolder): void {
  const wait = holder.spend();
  if (wait === 0) return;
  throw new ServeError(
    'rate_limited',
    `the token of ${holder.name} has spent its calls; try again in ${wait.toFixed(3)} s`,
    { retryAfterSeconds: wait, limit: { name: 'requestsPerSecond', value: holder.requestsPerSecond! } },
  );
}

export interface BearerOptions {
  readonly store: TokenStore;
  /** Whether grpc.health.v1 answers without a token. */
  readonly openHealth: boolean;
  /** Told whose call comes in. */
  readonly onAdmitted: (metadata: Metadata, holder: TokenHolder) => void;
  /** Told of every call that is turned away. */
  readonly onRefused: (call: { path: string; peer: string; metadata: Metadata }, status: Status) => void;
}

/** Lets calls through that bring a known token and have calls left, before their message is read. */
export function requireToken({ store, openHealth, onAdmitted, onRefused }: BearerOptions): ServerInterceptor {
  return ({ path }, call) => {
    if (openHealth && path.startsWith('/grpc.health.v1.Health/')) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, admit) {
            try {
              const [authorization] = metadata.get('authorization');
              // What comes after has no use for the secret, and cannot log it.
              metadata.remove('authorization');
              const holder = authenticate(store, authorization?.toString());
              spend(holder);
              onAdmitted(metadata, holder);
            } catch (error) {
              const status = toStatus(error);
              onRefused({ path, peer: call.getPeer(), metadata }, status);
              const trailer = new Metadata();
              trailer.set(statusDetailsKey, encodeStatusDetails(status));
              call.sendStatus({ code: status.code, details: status.details, metadata: trailer });
              return;
            }
            admit(metadata);
          },
        });
      },
    });
  };
}
