import { ServeError } from '../../call/serveError.js';
import type { TokenHolder, TokenStore } from './tokenStore.js';

/** The token of an `authorization: Bearer ...` value; undefined if the value has another form. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w.~+/-]+=*)$/i.exec(authorization ?? '')?.[1];
}

/**
 * The holder of a call's token.
 * @throws ServeError `unauthenticated` describing what is missing.
 */
export function authenticate(store: TokenStore, authorization: string | undefined): TokenHolder {
  if (authorization === undefined) {
    throw new ServeError('unauthenticated', 'the call has no token; send metadata "authorization: Bearer TOKEN"');
  }
  const token = bearerToken(authorization);
  if (token === undefined) {
    throw new ServeError('unauthenticated', 'authorization does not have the form "Bearer TOKEN"');
  }
  const holder = store.find(token);
  if (holder === undefined) {
    throw new ServeError('unauthenticated', 'the token is unknown; ask the operator of the service for one');
  }
  return holder;
}

/** @throws ServeError `rate_limited` with the time to wait, when the holder is over its rate. */
function checkRate(holder: TokenHolder): void {
  const wait = holder.spend();
  if (wait === 0) return;
  const value = holder.requestsPerSecond!;
  throw new ServeError(
    'rate_limited',
    `the token of ${holder.name} may make ${value} calls per second (requestsPerSecond); try again in ${wait.toFixed(3)} s`,
    { retryAfterSeconds: wait, limit: { name: 'requestsPerSecond', value } },
  );
}

export interface AuthenticatorOptions {
  readonly store: TokenStore;
  /** Whether grpc.health.v1, and ServerLive and ServerReady of the Open Inference Protocol, answer without a token. */
  readonly openHealth: boolean;
}

/** Calls that ask for nothing but the health. ModelReady names the models in its errors. */
const healthPaths = /^\/(?:grpc\.health\.v1\.Health\/|inference\.GRPCInferenceService\/Server(?:Live|Ready)$)/;

/**
 * Checks that a call has a known token that is within its rate.
 * @param onIdentified called with the holder, also if it is over its rate
 * @throws ServeError `unauthenticated` or `rate_limited`.
 */
export type Authenticator = (
  path: string,
  authorization: string | undefined,
  onIdentified: (holder: TokenHolder) => void,
) => void;

export function createAuthenticator({ store, openHealth }: AuthenticatorOptions): Authenticator {
  return (path, authorization, onIdentified) => {
    if (openHealth && healthPaths.test(path)) return;
    const holder = authenticate(store, authorization);
    // Before the rate limit, so that the log names the holder of a rejected call.
    onIdentified(holder);
    checkRate(holder);
  };
}
