import type { Metadata } from '@grpc/grpc-js';
import { ServeError } from '../../call/serveError.js';
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
  /** Told whose call comes in, also where its allowance then turns out to be spent. */
  readonly onIdentified: (metadata: Metadata, holder: TokenHolder) => void;
}

/**
 * A check of every call: it has to bring a known token with calls left.
 * @throws ServeError `unauthenticated` or `rate_limited`, from the check.
 */
export function requireToken({ store, openHealth, onIdentified }: BearerOptions) {
  return (path: string, metadata: Metadata): void => {
    if (openHealth && path.startsWith('/grpc.health.v1.Health/')) return;
    const [authorization] = metadata.get('authorization');
    // What comes after has no use for the secret, and cannot log it.
    metadata.remove('authorization');
    const holder = authenticate(store, authorization?.toString());
    // First, so that the log says whose call was refused.
    onIdentified(metadata, holder);
    spend(holder);
  };
}
