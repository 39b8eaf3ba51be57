import { timingSafeEqual } from 'node:crypto';
import { TokenBucket } from 'limiter';
import type { TokenEntry } from '../../config/securityKeys.js';
import { hashToken } from './secret.js';

/** Someone whose token was recognised. */
export interface TokenHolder {
  readonly name: string;
  readonly admin: boolean;
  /** Calls per second in the long run; undefined is no limit. */
  readonly requestsPerSecond: number | undefined;
  /** Takes one call from the holder's allowance. @returns 0, or the seconds until there is one again */
  spend(): number;
}

/** Calls of one token where its entry says nothing; undefined is no limit. */
export interface DefaultRate {
  readonly requestsPerSecond?: number | undefined;
  readonly burst?: number | undefined;
}

export interface TokenStore {
  /** The holder of a token; undefined where it is none of ours. Takes as long for every token of one length. */
  find(token: string): TokenHolder | undefined;
  /** Whether any holder may use the admin listener. */
  readonly hasAdmin: boolean;
  /** Puts other entries in place; holders of the same name and rate keep what they have spent. */
  replace(entries: readonly TokenEntry[]): void;
}

interface Held extends TokenHolder {
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
  let holders: readonly Held[] = [];

  function hold({ name, sha256, admin, ...own }: TokenEntry): Held {
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
      // Every entry is compared: where the right one stands shall not show in the time.
      return holders.reduce<Held | undefined>(
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
