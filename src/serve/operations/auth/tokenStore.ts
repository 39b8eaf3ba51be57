import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { TokenBucket } from 'limiter';
import type { TokenEntry } from '../../config/securityKeys.js';

/** Prefix of every token. Scanners for leaked secrets and log filters recognise tokens by it. */
const PREFIX = 'vrg_';

/**
 * Creates a token of 256 random bits. It cannot be guessed, so a plain SHA-256 of it is safe in the configuration; only secrets that
 * people choose need slow, salted hashes.
 */
export function createToken(): string {
  return PREFIX + randomBytes(32).toString('base64url');
}

/** SHA-256 of a token. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}

/** The holder of a known token. */
export interface TokenHolder {
  readonly name: string;
  readonly admin: boolean;
  /** Sustained calls per second; undefined means no limit. */
  readonly requestsPerSecond: number | undefined;
  /** Counts one call towards the holder's rate. @returns 0 if it is allowed, else the seconds until the next call is allowed */
  spend(): number;
}

/** Rate of tokens whose entry does not set one; undefined means no limit. */
export interface DefaultRate {
  readonly requestsPerSecond?: number | undefined;
  readonly burst?: number | undefined;
}

export interface TokenStore {
  /** The holder of a token; undefined if it is unknown. Takes constant time for tokens of the same length. */
  find(token: string): TokenHolder | undefined;
  /** Whether any holder may use the admin listener. */
  readonly hasAdmin: boolean;
  /** Replaces the entries. Holders whose name and rate stay the same keep their counted calls. */
  replace(entries: readonly TokenEntry[]): void;
}

interface StoredHolder extends TokenHolder {
  readonly hash: Buffer;
  readonly rate: string;
}

function spendingOf(perSecond: number | undefined, burst: number | undefined): () => number {
  if (perSecond === undefined) return () => 0;
  const bucketSize = burst ?? Math.max(1, Math.ceil(perSecond));
  const bucket = new TokenBucket({ bucketSize, tokensPerInterval: perSecond, interval: 'second' });
  bucket.content = bucketSize;
  return () => (bucket.tryRemoveTokens(1) ? 0 : Math.max(0.001, bucket.getWaitTime(1) / 1000));
}

export function createTokenStore(entries: readonly TokenEntry[], standard: DefaultRate = {}): TokenStore {
  let holders: readonly StoredHolder[] = [];

  function hold({ name, sha256, admin, ...own }: TokenEntry): StoredHolder {
    const perSecond = own.requestsPerSecond ?? standard.requestsPerSecond;
    const burst = own.burst ?? standard.burst;
    const rate = `${name} ${perSecond} ${burst}`;
    const spend = holders.find((holder) => holder.rate === rate)?.spend ?? spendingOf(perSecond, burst);
    return { name, admin, requestsPerSecond: perSecond, hash: Buffer.from(sha256, 'hex'), rate, spend };
  }

  function replace(next: readonly TokenEntry[]): void {
    holders = next.map(hold);
  }

  replace(entries);
  return {
    find(token) {
      const hash = hashToken(token);
      // Every entry is compared, so that the time does not reveal which one matched.
      return holders.reduce<StoredHolder | undefined>(
        (found, holder) => (timingSafeEqual(holder.hash, hash) ? holder : found),
        undefined,
      );
    },
    get hasAdmin() {
      return holders.some(({ admin }) => admin);
    },
    replace,
  };
}
